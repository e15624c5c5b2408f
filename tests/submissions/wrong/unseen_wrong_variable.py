# expect: wrong-variable
import math
import torch


def attention(query, key, value, mask=None):
    scores = torch.matmul(query, key.transpose(-2, -1)) / math.sqrt(query.size(-1))
    attn_weights = torch.softmax(scores, dim=-1)
    if mask is not None:
        masked_scores = scores.masked_fill(~mask, -1e9)
        masked_weights = torch.softmax(masked_scores, dim=-1)
    else:
        masked_weights = attn_weights
    output = torch.matmul(attn_weights, value)
    return output, masked_weights
