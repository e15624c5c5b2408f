# expect: correct
import torch

# splitting the scale over q and k is better for half precision
# sqrt(sqrt(d)) on each side -> sqrt(d) in the product


def attention(query, key, value, mask=None):
    s = query.shape[-1] ** 0.25
    q, k = query / s, key / s
    sim = q.matmul(k.transpose(2, 3))
    if mask is not None:
        sim = sim.masked_fill(~mask.bool(), torch.finfo(sim.dtype).min)
    sim = sim - sim.amax(dim=-1, keepdim=True).detach()
    sim = sim.exp()
    attn = sim / sim.sum(dim=-1, keepdim=True)
    out = attn.matmul(value)
    return out
