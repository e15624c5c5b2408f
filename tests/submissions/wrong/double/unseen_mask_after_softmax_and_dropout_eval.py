# expect: mask-after-softmax dropout-eval
import math
import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    probs = F.softmax(scores, dim=-1)
    if mask is not None:
        probs = probs * mask
    probs = F.dropout(probs, 0.1)
    return probs @ value, probs
