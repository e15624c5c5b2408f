# expect: correct
import math
import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None):
    """softmax(QK^T / sqrt(d_k)) V, straight from the paper"""
    d_k = query.size(-1)
    scores = torch.matmul(query, key.transpose(-2, -1)) / math.sqrt(d_k)
    if mask is not None:
        scores = scores.masked_fill(mask == 0, -1e9)
    p_attn = F.softmax(scores, dim=-1)
    return torch.matmul(p_attn, value), p_attn
