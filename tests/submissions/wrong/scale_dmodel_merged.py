# expect: scale-dmodel
import torch


def attention(query, key, value, mask=None):
    merged = query.transpose(1, 2).flatten(2)      # (batch, seq, n_embd)
    n_embd = merged.size(-1)
    wei = query @ key.mT * n_embd ** -0.5
    if mask is not None:
        wei = torch.where(mask, wei, -torch.inf)
    wei = torch.nn.functional.softmax(wei, dim=-1)
    return wei @ value
