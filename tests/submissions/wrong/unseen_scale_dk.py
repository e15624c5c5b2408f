# expect: scale-dk
import torch


def attention(Q, K, V, mask=None):
    d_k = K.shape[-1]
    S = torch.einsum('bhqd,bhkd->bhqk', Q, K)
    S = S / d_k                       # scaled dot product
    if mask is not None:
        S = torch.where(mask, S, torch.tensor(-1e9, dtype=S.dtype, device=S.device))
    A = torch.softmax(S, -1)
    return torch.einsum('bhqk,bhkd->bhqd', A, V)
