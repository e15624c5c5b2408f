# expect: additive-as-bool
import torch
import torch.nn.functional as F

ATTN_MASK = "additive"


def attention(q, k, v, attention_mask=None):
    w = torch.einsum("bhqd,bhkd->bhqk", q, k) / q.shape[-1] ** 0.5
    if attention_mask is not None:
        keep = attention_mask.bool()
        w = torch.where(keep, w, -1e9)
    return F.softmax(w, -1) @ v
