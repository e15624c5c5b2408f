# expect: projection-transposed
import math

import torch


def self_attention(x, w_q, w_k, w_v, w_o, num_heads, mask=None):
    # x: (batch, seq, d_model), every matrix is (d_model, d_model)
    batch, seq, d_model = x.shape
    query, key, value = (
        (x @ weight).view(batch, seq, num_heads, d_model // num_heads).permute(0, 2, 1, 3) for weight in (w_q, w_k, w_v)
    )
    scores = torch.matmul(query, key.transpose(-1, -2)) / math.sqrt(d_model // num_heads)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    heads = torch.softmax(scores, dim=-1) @ value
    return heads.permute(0, 2, 1, 3).reshape(batch, seq, d_model) @ w_o.T
