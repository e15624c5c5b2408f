# expect: q-only no-grad
import math
import torch


@torch.no_grad()
def attention(query, key, value, mask=None):
    q = query / math.sqrt(query.shape[-1])
    k = query
    sim = torch.einsum("bhid,bhjd->bhij", q, k)
    if mask is not None:
        sim = sim.masked_fill(~mask, torch.finfo(sim.dtype).min)
    attn = sim.softmax(dim=-1)
    return torch.einsum("bhij,bhjd->bhid", attn, value), attn
