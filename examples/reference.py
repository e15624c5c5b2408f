"""A right solution: scaled dot-product attention, four lines."""

import math

import torch


def attention(query, key, value, mask=None, dropout_p=0.0, training=False):
    """query, key, value: (batch, num_heads, seq, head_dim); mask: True where a query may attend to a key."""
    attn_scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    if mask is not None:
        attn_scores = attn_scores.masked_fill(~mask, float("-inf"))
    attn_weights = torch.softmax(attn_scores, dim=-1)
    attn_weights = torch.nn.functional.dropout(attn_weights, p=dropout_p, training=training)
    return attn_weights @ value, attn_weights
