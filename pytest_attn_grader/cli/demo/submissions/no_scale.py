"""Forgets to divide the scores by the square root of head_dim."""

import torch


def attention(query, key, value, mask=None):  # type: ignore[no-untyped-def]
    attn_scores = query @ key.transpose(-2, -1)
    if mask is not None:
        attn_scores = attn_scores.masked_fill(~mask, float("-inf"))
    attn_weights = torch.softmax(attn_scores, dim=-1)
    return attn_weights @ value, attn_weights
