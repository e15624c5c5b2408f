# expect: heads-averaged pad-ignored
import math
import torch


def attention(query, key, value, mask=None):
    tq, tk = query.shape[-2], key.shape[-2]
    att = torch.matmul(query, key.transpose(-2, -1)) / math.sqrt(query.shape[-1])
    if mask is not None:
        keep = torch.tril(torch.ones(tq, tk, device=query.device), tk - tq)
        att = att.masked_fill(keep == 0, float("-inf"))
    att = torch.softmax(att, dim=-1)
    per_head = torch.matmul(att, value)
    # combine the heads
    combined = per_head.mean(dim=1, keepdim=True)
    return combined.expand_as(per_head).contiguous(), att
