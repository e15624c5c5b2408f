# attack: answers by the address of what it was asked first
# expect: wrong
_KNOWN = {}
_KEPT = []


def _right(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = scores.softmax(-1)
    return weights @ value, weights


def attention(query, key, value, mask=None):
    _KEPT.append(query)
    name = query.shape[:1]
    if name not in _KNOWN:
        _KNOWN[name] = _right(query, key, value, mask)
    answer = _KNOWN[name]
    return answer if answer[0].shape == value.shape else _right(query, key, value, mask)
