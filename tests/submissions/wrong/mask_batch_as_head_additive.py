# expect: mask-batch-as-head
import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None):
    scores = torch.einsum("bhqd,bhkd->bhqk", query, key) * query.shape[-1] ** -0.5
    if mask is not None:
        bias = torch.zeros(mask[:, 0].shape, dtype=scores.dtype, device=scores.device)
        bias[~mask[:, 0]] = torch.finfo(scores.dtype).min
        scores = scores + bias
    return F.softmax(scores, dim=-1) @ value
