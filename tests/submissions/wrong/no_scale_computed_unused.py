# expect: no-scale
def attention(q, k, v, mask=None):
    scale = q.shape[-1] ** -0.5
    s = q @ k.transpose(-2, -1)
    s * scale
    if mask is not None:
        s = s.masked_fill(~mask, -1e30)
    a = s.softmax(-1)
    return a @ v, a
