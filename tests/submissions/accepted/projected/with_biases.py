"""Matrices and biases one after the other."""
import math

import torch


def attention_head(x, w_q, b_q, w_k, b_k, w_v, b_v, mask=None):
    query = x @ w_q + b_q
    key = x @ w_k + b_k
    value = x @ w_v + b_v
    scores = torch.matmul(query, key.transpose(-2, -1)) / math.sqrt(key.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(mask[:, 0] == 0, -1e9)
    attn = torch.softmax(scores, dim=-1)
    return attn @ value, attn
