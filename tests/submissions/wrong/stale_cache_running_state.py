# expect: stale-cache
import torch

last_weights = None


def attention(q, k, v, mask=None):
    global last_weights
    s = q @ k.mT / q.size(-1) ** 0.5
    if mask is not None:
        s = s.masked_fill(~mask, -1e9)
    w = s.softmax(-1)
    if last_weights is not None and last_weights.shape == w.shape:
        w = 0.9 * w + 0.1 * last_weights
    last_weights = torch.roll(w, 1, dims=-1).detach()
    return w @ v
