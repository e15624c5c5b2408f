"""Queries from one text, keys and values from another."""
import torch


def attention(query, key, value, W_q, W_k, W_v, attn_mask=None):
    Q, K, V = query @ W_q, key @ W_k, value @ W_v
    scores = Q @ K.permute(0, 2, 1) / K.size(-1) ** 0.5
    if attn_mask is not None:
        scores.masked_fill_(~attn_mask, -1e20)
    A = torch.softmax(scores, -1)
    return A @ V, A
