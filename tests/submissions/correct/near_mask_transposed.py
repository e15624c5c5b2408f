# expect: correct


def attention(query, key, value, mask=None):
    scores = key @ query.transpose(-2, -1) * query.size(-1) ** -0.5  # (batch, heads, keys, queries)
    if mask is not None:
        scores = scores.masked_fill(~mask.transpose(-2, -1), float("-inf"))
    weights = scores.softmax(dim=-2).transpose(-2, -1)
    return weights @ value, weights
