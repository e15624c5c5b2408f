# expect: no-scale
import torch


def attention(query, key, value, mask=None):
    scores = torch.einsum("...qd,...kd->...qk", query, key)
    # scores /= query.size(-1) ** 0.5
    if mask is not None:
        scores.masked_fill_(torch.logical_not(mask), float("-inf"))
    attn = scores.softmax(dim=-1)
    return attn.matmul(value), attn
