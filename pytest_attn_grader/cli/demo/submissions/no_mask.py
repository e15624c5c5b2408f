"""Ignores the mask: every token sees the future."""

import math

import torch


def attention(query, key, value, mask=None):  # type: ignore[no-untyped-def]
    attn_scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    attn_weights = torch.softmax(attn_scores, dim=-1)
    return attn_weights @ value, attn_weights
