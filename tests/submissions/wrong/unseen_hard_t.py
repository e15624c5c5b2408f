# expect: hard-T
import math
import torch
import torch.nn.functional as F

SEQ_LEN = 128
CAUSAL = torch.tril(torch.ones(SEQ_LEN, SEQ_LEN)).bool()


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        allowed = CAUSAL.to(mask.device) & mask
        scores = scores.masked_fill(~allowed, -1e9)
    w = F.softmax(scores, dim=-1)
    return w @ value, w
