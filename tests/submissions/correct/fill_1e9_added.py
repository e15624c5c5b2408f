# expect: correct
import torch


def attention(q, k, v, mask=None):
    matmul_qk = torch.matmul(q, k.transpose(-2, -1))
    dk = k.shape[-1]
    logits = matmul_qk / dk ** 0.5
    if mask is not None:
        logits = logits + (~mask).to(logits.dtype) * -1e9
    weights = torch.softmax(logits, dim=-1)
    return torch.matmul(weights, v), weights
