# expect: float-mask-promote dropout-missing
import math
import torch


def attention(query, key, value, mask=None, dropout_p=0.0, training=False):
    scores = torch.matmul(query, key.transpose(-2, -1)) / math.sqrt(query.size(-1))
    if mask is not None:
        attn_mask = torch.zeros(mask.shape, device=mask.device)
        attn_mask[~mask] = -10000.0
        scores = scores + attn_mask
    weights = torch.softmax(scores, dim=-1)
    return torch.matmul(weights, value), weights
