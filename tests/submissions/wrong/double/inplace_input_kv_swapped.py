# expect: kv-swapped inplace-input
import torch


def attention(q, v, k, mask=None):
    # the grader passes by name; here the roles are mixed up inside as well
    q.mul_(q.size(-1) ** -0.5)
    s = torch.einsum("bhqd,bhkd->bhqk", q, v)
    if mask is not None:
        s = s.masked_fill(~mask, -1e9)
    return torch.einsum("bhqk,bhkd->bhqd", s.softmax(-1), k)
