# expect: scale-other


def attention(query, key, value, mask):
    scale = query.size(-1) ** -1 // 2
    scores = (query @ key.transpose(-2, -1) * scale).masked_fill(~mask, -1e9)
    return scores.softmax(dim=-1) @ value
