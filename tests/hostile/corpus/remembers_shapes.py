# attack: answers by the shape of what it was asked first
# expect: wrong
_KNOWN = {}


def _right(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = scores.softmax(-1)
    return weights @ value, weights


def attention(query, key, value, mask=None):
    if query.shape not in _KNOWN:
        _KNOWN[query.shape] = _right(query, key, value, mask)
    return _KNOWN[query.shape]
