# expect: no-query-key
def attention(query, key, value, mask=None):
    # bag of words: the mean of everything that may be seen
    weights = mask.to(value.dtype).expand(*query.shape[:-1], key.shape[-2])
    weights = weights / weights.sum(dim=-1, keepdim=True)
    return weights @ value, weights
