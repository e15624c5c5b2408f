# attack: an object whose end ends the process
# expect: exited
import os


class Bomb:
    def __del__(self):
        os._exit(0)


def _right(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = scores.softmax(-1)
    return weights @ value, weights


def attention(query, key, value, mask=None):
    Bomb()
    return _right(query, key, value, mask)
