"""Masks after softmax: nothing of the future is seen, but the rows no longer sum to 1."""

import math

import torch


def attention(query, key, value, mask=None):
    attn_scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    attn_weights = torch.softmax(attn_scores, dim=-1)
    if mask is not None:
        attn_weights = attn_weights * mask
    return attn_weights @ value, attn_weights
