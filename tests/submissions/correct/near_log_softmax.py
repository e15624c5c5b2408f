# expect: correct
import math

import torch.nn.functional as F


def attention(q, k, v, mask=None):
    logits = q @ k.mT / math.sqrt(q.size(-1))
    if mask is not None:
        logits = logits.masked_fill(mask == 0, float("-inf"))
    attn = F.log_softmax(logits, dim=-1).exp()
    return attn @ v, attn
