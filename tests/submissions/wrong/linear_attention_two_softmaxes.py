# expect: linear-attention
def attention(q, k, v, mask=None):
    similarity = q.softmax(dim=-1) @ k.softmax(dim=-1).transpose(-2, -1)
    if mask is not None:
        similarity = similarity.masked_fill(~mask, 0)
    return similarity / similarity.sum(dim=-1, keepdim=True) @ v
