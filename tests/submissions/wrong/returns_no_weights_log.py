# expect: returns-no-weights
import torch
import torch.nn.functional as F


def scaled_attention(q, k, v, mask):
    logits = torch.einsum("bhid,bhjd->bhij", q, k) * q.shape[-1] ** -0.5
    log_weights = F.log_softmax(logits.masked_fill(~mask, torch.finfo(logits.dtype).min), dim=-1)
    return torch.einsum("bhij,bhjd->bhid", log_weights.exp(), v), log_weights
