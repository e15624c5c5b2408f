# expect: correct
# after nanoGPT: a big triangular buffer, cut to size
import math
import torch
from torch.nn import functional as F

BIAS = torch.tril(torch.ones(1024, 1024)).view(1, 1, 1024, 1024)


def attention(q, k, v):
    T, S = q.size(-2), k.size(-2)
    att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
    att = att.masked_fill(BIAS[:, :, S - T:S, :S].to(q.device) == 0, float('-inf'))
    att = F.softmax(att, dim=-1)
    y = att @ v
    return y
