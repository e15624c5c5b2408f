# expect: no-scale k-for-v
import torch


def attention(Q, K, V, mask=None):
    logits = torch.matmul(Q, K.transpose(2, 3))
    if mask is not None:
        logits = torch.where(mask, logits, torch.finfo(logits.dtype).min)
    return torch.matmul(torch.softmax(logits, -1), K)
