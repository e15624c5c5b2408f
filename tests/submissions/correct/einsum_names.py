# expect: correct
import torch
from torch import einsum


def scaled_dot_product(Q, K, V, attn_mask=None):
    sim = einsum('b h i d, b h j d -> b h i j', Q, K) * (Q.shape[-1] ** -0.5)
    if attn_mask is not None:
        max_neg_value = -torch.finfo(sim.dtype).max
        sim.masked_fill_(~attn_mask, max_neg_value)
    attn = sim.softmax(dim=-1)
    return einsum('b h i j, b h j d -> b h i d', attn, V)
