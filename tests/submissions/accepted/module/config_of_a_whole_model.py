"""The config's class has required fields that other parts of the model need, of several types."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn


@dataclass(frozen=True)
class FeedForwardConfig:
    expansion: float
    gated: bool


@dataclass(frozen=True)
class TransformerConfig:
    hidden_size: int
    num_heads: int
    ffn_hidden: int
    feed_forward: FeedForwardConfig
    norm: Literal["pre", "post"]
    learning_rate: float
    special_tokens: list[str]


class SelfAttention(nn.Module):
    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.num_heads = config.num_heads
        self.head_dim = config.hidden_size // config.num_heads
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.out = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden_states, mask=None):
        split = (*hidden_states.shape[:2], self.num_heads, self.head_dim)
        query, key, value = (part.reshape(split).transpose(1, 2) for part in self.qkv(hidden_states).chunk(3, -1))
        scores = query @ key.mT / self.head_dim**0.5
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        return self.out((scores.softmax(-1) @ value).transpose(1, 2).flatten(2))
