# expect: correct
def attention(q, k, v, mask=None):
    s = q.matmul(k.transpose(-2, -1))
    if mask is not None:
        s = s.masked_fill(mask.eq(False), float("-inf"))
    s = s.div(k.size(-1) ** 0.5)
    p = s.softmax(-1)
    return p.matmul(v), p
