# expect: correct


def attention(query, key, value, mask=None):
    query = query.clone()
    query /= query.size(-1) ** 0.5
    scores = query @ key.transpose(-2, -1)
    if mask is not None:
        scores.masked_fill_(mask.logical_not(), float("-inf"))
    weights = scores.softmax(dim=-1)
    return weights @ value, weights
