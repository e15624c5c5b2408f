# expect: hard-T
import math
import torch
import torch.nn.functional as F

SEQ_LEN = 10


def attention(query, key, value, mask=None):
    causal = torch.full((SEQ_LEN, SEQ_LEN), float("-inf")).triu(1).to(query)
    scores = torch.einsum("bhqd,bhkd->bhqk", query, key) / math.sqrt(query.size(-1)) + causal
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return F.softmax(scores, dim=-1) @ value
