# expect: numpy-roundtrip
import numpy as np
import torch


def attention(query, key, value, mask=None):
    Q, K, V = query.detach().numpy(), key.detach().numpy(), value.detach().numpy()
    scores = np.einsum("bhqd,bhkd->bhqk", Q, K) / np.sqrt(Q.shape[-1]).astype(Q.dtype)
    if mask is not None:
        scores = np.where(mask.numpy(), scores, np.finfo(scores.dtype).min)
    scores = scores - scores.max(-1, keepdims=True)
    A = np.exp(scores)
    A = A / A.sum(-1, keepdims=True)
    return torch.tensor(np.einsum("bhqk,bhkd->bhqd", A, V))
