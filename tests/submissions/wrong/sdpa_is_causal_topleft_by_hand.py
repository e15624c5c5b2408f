# expect: sdpa-is-causal-topleft
import torch


def attention(query, key, value, mask=None):
    keep = torch.ones(query.size(-2), key.size(-2), device=query.device).tril() > 0
    if mask is not None:
        keep = keep & mask
    att = query @ key.mT / query.size(-1) ** 0.5
    att = att.masked_fill(~keep, -1e9).softmax(-1)
    return att @ value, att
