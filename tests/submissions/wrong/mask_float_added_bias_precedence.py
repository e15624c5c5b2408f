# expect: mask-float-added-bias
# GPT-2's  w * b - 1e4 * (1 - b)  with the brackets lost
import torch


def attention(query, key, value, mask=None):
    w = torch.matmul(query, key.permute(0, 1, 3, 2)) / query.size(-1) ** 0.5
    if mask is not None:
        b = mask.to(w.dtype)
        w = w - 1e4 - 1e4 * (1 - b)
    w = torch.nn.Softmax(dim=-1)(w)
    return torch.matmul(w, value)
