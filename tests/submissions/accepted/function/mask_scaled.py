"""The mask is added before the scores are divided, so that it is divided as well."""
import math

import torch


def scaled_attention(Q, K, V, mask=None):
    scores = torch.einsum("bhqd,bhkd->bhqk", Q, K)
    if mask is not None:
        scores = scores + mask
    weights = torch.softmax(scores / math.sqrt(Q.size(-1)), dim=-1)
    return torch.einsum("bhqk,bhkd->bhqd", weights, V), weights
