# expect: mask-after-softmax
import math

import torch


def attention(query, key, value, padding_mask):
    # padding_mask: (batch, key_len), True for real tokens
    length = key.shape[-2]
    causal = torch.ones(query.shape[-2], length, dtype=torch.bool, device=query.device).tril(length - query.shape[-2])
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    weights = scores.masked_fill(~causal, float("-inf")).softmax(dim=-1)
    weights = weights * padding_mask[:, None, None, :]
    return weights @ value, weights
