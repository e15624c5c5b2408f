"""attend(Q, K, V, M): single capital letters, and only the output comes back."""
import torch


def attend(Q, K, V, M):
    S = Q @ K.mT
    S = S / Q.shape[-1] ** 0.5
    S[~M.expand_as(S)] = float("-inf")
    return S.softmax(-1) @ V
