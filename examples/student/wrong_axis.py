"""Normalises over the queries instead of the keys: the shapes are right, the meaning is not."""

import math

import torch


def attention(query, key, value, mask=None):
    attn_scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    if mask is not None:
        attn_scores = attn_scores.masked_fill(~mask, -1e9)
    attn_weights = torch.softmax(attn_scores, dim=-2)
    return attn_weights @ value, attn_weights
