# expect: correct
import torch


def attention(q, k, v, mask=None):
    w = torch.matmul(q, k.transpose(-1, -2))
    w = w / (float(v.size(-1)) ** 0.5)
    if mask is not None:
        b = mask.to(w.dtype)
        w = w * b - 1e4 * (1 - b)
    w = torch.nn.Softmax(dim=-1)(w)
    return torch.matmul(w, v), w
