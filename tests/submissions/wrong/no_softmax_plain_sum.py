# expect: no-softmax
def attention(q, k, v, mask=None):
    s = q @ k.mT / q.shape[-1] ** 0.5
    if mask is not None:
        s = s * mask
    w = s / s.sum(-1, keepdim=True)      # normalise
    return w @ v, w
