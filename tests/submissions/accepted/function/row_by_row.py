"""(seq, head_dim) and a loop over the queries, nothing batched."""
import math

import torch


def self_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask=None):
    out, all_weights = [], []
    for i in range(q.shape[0]):
        logits = (k * q[i]).sum(dim=1) / math.sqrt(q.shape[1])
        if mask is not None:
            logits = torch.where(mask[i], logits, torch.tensor(-1e30, dtype=logits.dtype))
        e = torch.exp(logits - logits.max())
        w = e / e.sum()
        all_weights.append(w)
        out.append((w[:, None] * v).sum(dim=0))
    return torch.stack(out), torch.stack(all_weights)
