"""forward(value): the only argument has the name of one of three, and is what all three are made from."""

from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class AttentionConfig:
    d_model: int = 256
    n_heads: int = 8
    attention_mode: str = "causal"


class OneStateAttention(nn.Module):
    def __init__(self, config: AttentionConfig):
        super().__init__()
        self.n_heads = config.n_heads
        self.is_causal = config.attention_mode == "causal"
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model)
        self.output = nn.Linear(config.d_model, config.d_model)

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        batch, length, width = value.shape
        queries, keys, values = self.qkv(value).view(batch, length, 3, self.n_heads, -1).unbind(dim=2)
        scores = torch.einsum("bqhd,bkhd->bhqk", queries, keys) / (width // self.n_heads) ** 0.5
        if self.is_causal:
            scores = scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), -torch.inf)
        mixed = torch.einsum("bhqk,bkhd->bqhd", scores.softmax(dim=-1), values)
        return self.output(mixed.flatten(2))
