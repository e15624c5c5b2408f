# expect: scale-dk
import torch


def attention(query, key, value, mask=None):
    d_k = query.shape[-1]
    dots = query.matmul(key.transpose(-2, -1)).mul(d_k ** (-1.0))
    if mask is not None:
        dots = dots.masked_fill(mask == 0, -1e9)
    p_attn = torch.nn.functional.softmax(dots, dim=-1)
    return torch.matmul(p_attn, value), p_attn
