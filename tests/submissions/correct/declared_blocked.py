# expect: correct
import torch

ATTN_MASK = "blocked"  # True where attention is NOT allowed, as in nn.MultiheadAttention


def attention(q, k, v, attn_mask=None):
    scores = torch.matmul(q, k.transpose(-2, -1)) / q.size(-1) ** 0.5
    if attn_mask is not None:
        scores = scores.masked_fill(attn_mask, float("-inf"))
    return torch.matmul(scores.softmax(-1), v)
