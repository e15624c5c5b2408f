# attack: right for the first calls only
# expect: wrong
import itertools

_CALLS = itertools.count()


def _right(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = scores.softmax(-1)
    return weights @ value, weights


def attention(query, key, value, mask=None):
    answer, weights = _right(query, key, value, mask)
    return (answer, weights) if next(_CALLS) < 5 else (answer * 1.01, weights)
