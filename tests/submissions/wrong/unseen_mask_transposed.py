# expect: mask-transposed
import math
import torch
import torch.nn.functional as F


def attention(q, k, v, mask=None):
    scores = torch.matmul(q, k.transpose(-2, -1)) / math.sqrt(q.size(-1))
    if mask is not None:
        mask = mask.transpose(-2, -1)       # (.., key, query) like the scores
        scores = scores.masked_fill(~mask, -1e9)
    probs = F.softmax(scores, dim=-1)
    context = torch.matmul(probs, v)
    return context, probs
