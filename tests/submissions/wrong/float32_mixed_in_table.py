# expect: float32-mixed-in
import torch


def attention(q, k, v, mask=None):
    d = q.size(-1)
    positions = torch.arange(k.size(-2)).float()
    same = torch.cos(0.0 * positions)
    att = torch.einsum("bhqd,bhkd->bhqk", q, k) * d**-0.5
    att = att * same
    if mask is not None:
        att = att.masked_fill(mask == 0, float("-inf"))
    att = torch.softmax(att, dim=-1)
    return torch.einsum("bhqk,bhkd->bhqd", att, v)
