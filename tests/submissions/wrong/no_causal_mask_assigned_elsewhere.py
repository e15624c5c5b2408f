# expect: no-causal-mask
import torch


def attention(query, key, value, attn_mask=None):
    scores = query @ key.transpose(-2, -1) / query.size(-1) ** 0.5
    if attn_mask is not None:
        masked = scores.masked_fill(~attn_mask, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    return weights @ value, weights
