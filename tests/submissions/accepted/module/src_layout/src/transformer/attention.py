"""A package in src/ with relative and absolute imports of its modules."""
import torch
from torch import nn

from transformer.config import Config

from .functional import masked_softmax


class MultiHeadAttention(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.num_heads = config.n_head
        self.head_size = config.n_embd // config.n_head
        self.query, self.key, self.value = (nn.Linear(config.n_embd, config.n_embd) for _ in range(3))
        self.output = nn.Linear(config.n_embd, config.n_embd)
        self.attention_weights = None
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        q, k, v = (
            layer(x).view(*x.shape[:2], self.num_heads, self.head_size).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        self.attention_weights = masked_softmax(q @ k.transpose(-1, -2) * self.head_size**-0.5, mask)
        mixed = self.dropout(self.attention_weights) @ v
        return self.output(mixed.transpose(1, 2).flatten(2))
