# expect: scale-inverted
import numpy as np
import torch


def attention(Q, K, V, attn_mask=None):
    logits = torch.matmul(Q, K.permute(0, 1, 3, 2)) * float(np.sqrt(Q.shape[-1]))
    if attn_mask is not None:
        logits = logits.masked_fill(attn_mask == 0, -1e9)
    logits = logits - logits.max(dim=-1, keepdim=True).values
    e = logits.exp()
    return torch.matmul(e / e.sum(-1, keepdim=True), V)
