"""A config whose fields are capitals, D and headDim; the number of heads is worked out of them."""
from dataclasses import dataclass

import torch
from torch import nn


@dataclass
class Config:
    D: int = 512
    headDim: int = 64
    DROPOUT: float = 0.0


class Attention(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        assert config.D % config.headDim == 0
        self.heads = config.D // config.headDim
        self.Wq, self.Wk, self.Wv, self.Wo = (nn.Linear(config.D, config.D) for _ in range(4))
        self.drop = nn.Dropout(config.DROPOUT)

    def forward(self, x):
        B, S, D = x.shape
        Q, K, V = (W(x).view(B, S, self.heads, -1).transpose(1, 2) for W in (self.Wq, self.Wk, self.Wv))
        logits = Q @ K.transpose(-2, -1) / (D // self.heads) ** 0.5
        logits = logits.masked_fill(torch.ones_like(logits).triu(1).bool(), float("-inf"))
        return self.Wo((self.drop(logits.softmax(-1)) @ V).transpose(1, 2).reshape(B, S, D))
