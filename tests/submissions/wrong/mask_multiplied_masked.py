# expect: mask-multiplied
import torch


def attention(Q, K, V, M=None):
    S = Q @ K.transpose(-1, -2) / Q.shape[-1] ** 0.5
    if M is not None:
        S = torch.mul(S, M.type_as(S))
    P = torch.softmax(S, dim=-1)
    return P @ V, P
