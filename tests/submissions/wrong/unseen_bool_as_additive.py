# expect: bool-as-additive
import math
import torch

ATTN_MASK = "keep"


def attention(q, k, v, mask=None):
    product = torch.einsum("...qd,...kd->...qk", q, k) / math.sqrt(q.shape[-1])
    if mask is not None:
        product = product + mask.to(product.dtype)
    coeffs = torch.softmax(product, dim=-1)
    return torch.einsum("...qk,...kd->...qd", coeffs, v)
