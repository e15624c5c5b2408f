# expect: elementwise-qk
import math
import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None):
    scores = torch.mul(query, key.permute(0, 1, 3, 2)).div(math.sqrt(query.shape[-1]))
    if mask is not None:
        scores = torch.where(mask, scores, -1e9)
    return torch.matmul(F.softmax(scores, dim=-1), value)
