# expect: returns-no-weights
import math

import torch


def attention(query, key, value, mask=None):
    attn_scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    attn_weights = attn_scores
    if mask is not None:
        attn_weights = attn_weights.masked_fill(~mask, float("-inf"))
    attn_weights = torch.softmax(attn_weights, dim=-1)
    return attn_weights @ value, attn_scores
