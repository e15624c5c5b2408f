"""The width of a head is that of the hidden states divided by the number of heads."""
import math

import torch


def multi_head_attention(x, w_q, w_k, w_v, w_o, num_heads):
    B, T, C = x.shape
    head_dim = C // num_heads
    q, k, v = ((x @ w).view(B, T, num_heads, head_dim).transpose(1, 2) for w in (w_q, w_k, w_v))
    scores = q @ k.transpose(-2, -1) / math.sqrt(head_dim)
    scores = scores.masked_fill(torch.triu(torch.ones(T, T, dtype=torch.bool), 1), float("-inf"))
    return (scores.softmax(-1) @ v).transpose(1, 2).reshape(B, T, C) @ w_o
