# expect: missing-bias
import math

import torch


def multi_head_attention(x, w_q, b_q, w_k, b_k, w_v, b_v, w_o, b_o, num_heads, mask=None):
    def heads(states, weight, bias):
        return (states @ weight + bias).unflatten(-1, (num_heads, -1)).transpose(1, 2)

    query, key, value = heads(x, w_q, b_q), heads(x, w_k, b_k), heads(x, w_v, b_v)
    scores = torch.einsum("bhqd,bhkd->bhqk", query, key) / math.sqrt(query.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return (scores.softmax(-1) @ value).transpose(1, 2).flatten(2) @ w_o
