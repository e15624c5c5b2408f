# expect: scale-inverted weights-transposed
import torch


def attention(Q, K, V, mask=None):
    scale = Q.size(-1) ** -0.5
    A = torch.matmul(Q, K.mT) / scale
    if mask is not None:
        A = torch.where(mask, A, torch.full_like(A, -1e9))
    A = torch.softmax(A, dim=-1)
    return torch.matmul(A.mT, V), A
