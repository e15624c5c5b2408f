# expect: scale-other
def attention(query, key, value, mask=None):
    scores = query @ key.mT / 1e9
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = scores.softmax(-1)
    return weights @ value, weights
