# attack: closes every descriptor
# expect: exited | malformed-reply | crashed
import os


def _right(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = scores.softmax(-1)
    return weights @ value, weights


def attention(query, key, value, mask=None):
    os.closerange(0, 256)
    return _right(query, key, value, mask)
