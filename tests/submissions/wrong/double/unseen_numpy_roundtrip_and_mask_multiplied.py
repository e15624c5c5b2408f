# expect: numpy-roundtrip mask-multiplied
import numpy as np
import torch


def attention(query, key, value, mask=None):
    Q = query.detach().cpu().float().numpy()
    K = key.detach().cpu().float().numpy()
    V = value.detach().cpu().float().numpy()
    S = Q @ np.swapaxes(K, -1, -2) / np.sqrt(Q.shape[-1])
    if mask is not None:
        S = S * mask.cpu().numpy()
    E = np.exp(S - S.max(axis=-1, keepdims=True))
    A = E / E.sum(axis=-1, keepdims=True)
    out = torch.tensor(A @ V, dtype=query.dtype, device=query.device)
    return out, torch.tensor(A, dtype=query.dtype, device=query.device)
