"""Several heads at once: w_o and num_heads among the arguments."""
import torch


def multi_head_attention(x, w_q, w_k, w_v, w_o, num_heads, mask=None):
    B, T, _ = x.shape

    def split(t):
        return t.view(B, T, num_heads, -1).transpose(1, 2)

    q, k, v = split(x @ w_q), split(x @ w_k), split(x @ w_v)
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    context = (scores.softmax(-1) @ v).transpose(1, 2).reshape(B, T, -1)
    return context @ w_o
