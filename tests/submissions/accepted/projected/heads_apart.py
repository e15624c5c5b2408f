"""Weights of shape (heads, model, head): einsum over all of them."""
import torch
from torch import einsum


def attention(x, W_Q, W_K, W_V, W_O, mask=None):
    q = einsum("btm,hmd->bhtd", x, W_Q)
    k = einsum("btm,hmd->bhtd", x, W_K)
    v = einsum("btm,hmd->bhtd", x, W_V)
    scores = einsum("bhqd,bhkd->bhqk", q, k) / W_Q.shape[-1] ** 0.5
    if mask is not None:
        scores = torch.where(mask, scores, -1e9)
    pattern = scores.softmax(-1)
    return einsum("bhqk,bhkd,hdm->bqm", pattern, v, W_O)
