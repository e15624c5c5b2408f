# expect: weights-changed
import torch


def attention(Q, K, V, keep):
    w = torch.softmax((Q @ K.mT * Q.size(3) ** -0.5).masked_fill(~keep, torch.finfo(Q.dtype).min), 3)
    w = w * (w >= 0.125)
    w = w / (w.sum(3, keepdim=True) + 1e-12)
    return w @ V, w
