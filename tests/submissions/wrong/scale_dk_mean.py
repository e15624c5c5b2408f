# expect: scale-dk
def attention(query, key, value, mask=None):
    """the mean of the products instead of their sum"""
    scores = (query.unsqueeze(-2) * key.unsqueeze(-3)).mean(dim=-1)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    w = scores.softmax(dim=-1)
    return w @ value, w
