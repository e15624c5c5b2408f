# expect: heads-as-seq
import torch


def attention(query, key, value):
    # (batch, heads, seq, head_dim) -> (batch, seq, heads, head_dim)
    q, k, v = (each.permute(0, 2, 1, 3) for each in (query, key, value))
    logits = torch.matmul(q, k.permute(0, 1, 3, 2)) * q.size(-1) ** -0.5
    return torch.matmul(torch.softmax(logits, dim=-1), v).permute(0, 2, 1, 3)
