# expect: missing-keepdim
import torch


def my_softmax(z):
    e = torch.exp(z - z.max(-1).values)
    return e / e.sum(-1)


def attention(Q, K, V, mask=None):
    (length, width), (keys, _) = Q.shape, K.shape
    z = Q.mm(K.t()) / width**0.5
    if mask is not None:
        z[~mask] = -1e9
    A = my_softmax(z)
    return A.mm(V), A
