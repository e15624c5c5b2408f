# expect: scale-dmodel
from dataclasses import dataclass

import torch
from torch import nn


@dataclass
class Config:
    n_embd: int = 768
    n_head: int = 12


class CausalSelfAttention(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.qkv = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.proj = nn.Linear(config.n_embd, config.n_embd)

    def forward(self, x):
        batch, seq, width = x.shape
        heads = (batch, seq, self.config.n_head, width // self.config.n_head)
        query, key, value = (part.view(heads).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=-1))
        scores = query @ key.transpose(-2, -1) / width**0.5
        scores = scores.masked_fill(torch.ones(seq, seq, dtype=torch.bool).triu(1), float("-inf"))
        return self.proj((scores.softmax(dim=-1) @ value).transpose(1, 2).reshape(batch, seq, width))
