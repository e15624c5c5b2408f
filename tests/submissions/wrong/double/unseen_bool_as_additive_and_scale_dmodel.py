# expect: bool-as-additive scale-dmodel
import math
import torch

ATTN_MASK = "keep"


def attention(q, k, v, mask=None):
    embed_size = q.shape[1] * q.shape[3]
    scores = q @ k.transpose(-2, -1)
    if mask is not None:
        scores = scores / math.sqrt(embed_size) + mask
    else:
        scores = scores / math.sqrt(embed_size)
    weights = torch.softmax(scores, dim=-1)
    return weights @ v, weights
