# expect: log-softmax
import math

import torch


def scaled_dot_product(Q, K, V, mask=None):
    e = torch.einsum("bhid,bhjd->bhij", Q, K) / math.sqrt(Q.size(3))
    if mask is not None:
        e = torch.where(mask, e, torch.tensor(-1e9, dtype=e.dtype))
    a = e - torch.logsumexp(e, dim=3, keepdim=True)
    return torch.einsum("bhij,bhjd->bhid", a, V), a
