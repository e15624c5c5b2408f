# attack: right, and leaves its inputs changed
# expect: raised


def _right(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = scores.softmax(-1)
    return weights @ value, weights


def attention(query, key, value, mask=None):
    answer, weights = _right(query, key, value, mask)
    with __import__('torch').no_grad():
        query.zero_()
        value.zero_()
    return answer, weights
