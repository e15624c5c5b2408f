"""One configuration for two parts of a model, text_num_heads beside image_num_heads, and groups of heads."""
from dataclasses import dataclass

import torch
from torch import nn


@dataclass
class TwoTowers:
    text_embed_dim: int = 320
    text_num_heads: int = 5
    text_num_kv_heads: int | None = None
    text_vocab_size: int = 1000
    image_embed_dim: int = 192
    image_num_heads: int = 3
    image_patch_size: int = 16
    dropout: float = 0.1


class TextAttention(nn.Module):
    def __init__(self, config: TwoTowers):
        super().__init__()
        self.num_heads = config.text_num_heads
        self.groups = config.text_num_kv_heads or config.text_num_heads
        self.size = config.text_embed_dim // self.num_heads
        self.query = nn.Linear(config.text_embed_dim, self.num_heads * self.size)
        self.key = nn.Linear(config.text_embed_dim, self.groups * self.size)
        self.value = nn.Linear(config.text_embed_dim, self.groups * self.size)
        self.output = nn.Linear(self.num_heads * self.size, config.text_embed_dim)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, text, mask=None):
        q, k, v = (
            layer(text).unflatten(-1, (-1, self.size)).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        k, v = (each.repeat_interleave(self.num_heads // self.groups, dim=1) for each in (k, v))
        scores = q @ k.mT * self.size**-0.5
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        return self.output((self.dropout(torch.softmax(scores, -1)) @ v).transpose(1, 2).flatten(2))
