# expect: mask-transposed
import torch
import torch.nn.functional as F


def causal_attention(q, k, v):
    t, s = q.size(-2), k.size(-2)
    visible = torch.triu(torch.ones(t, s)) == 1
    scores = q @ k.transpose(-1, -2) * q.size(-1) ** -0.5
    return F.softmax(scores.masked_fill(~visible, -1e9), dim=-1) @ v
