# expect: bool-as-additive
import torch.nn.functional as F

ATTN_MASK = "keep"


def attention(query, key, value, mask=None):
    if mask is not None:
        mask = mask.to(query.dtype)        # a float mask is ADDED by SDPA
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
