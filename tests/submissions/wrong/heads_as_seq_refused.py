# expect: heads-as-seq
import torch


def attention(q, k, v, mask=None):
    """Takes (batch, heads, seq, head_dim)."""
    q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
    scores = torch.matmul(q, k.transpose(-1, -2)) / q.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e9)
    return torch.matmul(torch.softmax(scores, dim=-1), v).transpose(1, 2)
