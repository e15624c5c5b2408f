# attack: another answer at every call
# expect: wrong
import time


def _right(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = scores.softmax(-1)
    return weights @ value, weights


def attention(query, key, value, mask=None):
    answer, weights = _right(query, key, value, mask)
    return answer * (1 + time.time_ns() % 97 / 1000), weights
