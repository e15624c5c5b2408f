# expect: mask-after-softmax-neginf
import math
import torch
import torch.nn.functional as F


def attention(Q, K, V, mask=None):
    probs = F.softmax(torch.matmul(Q, K.transpose(-1, -2)) / math.sqrt(K.size(-1)), dim=-1)
    if mask is not None:
        probs = torch.where(mask, probs, -1e9)
    return torch.matmul(probs, V)
