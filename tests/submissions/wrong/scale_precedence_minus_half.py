# expect: scale-precedence
import torch.nn.functional as F


def attend(q, k, v, mask=None):
    factor = q.shape[-1] ** -1 / 2
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=factor)
