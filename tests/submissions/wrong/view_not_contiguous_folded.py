# expect: view-not-contiguous


def attention(query, key, value, mask=None):
    batch, heads, seq, dim = query.shape
    columns = key.transpose(-2, -1).view(batch, heads * dim, -1)
    scores = query @ columns.unflatten(1, (heads, dim)) / dim**0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = scores.softmax(dim=-1)
    return weights @ value, weights
