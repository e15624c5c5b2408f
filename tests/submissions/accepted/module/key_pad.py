"""MultiHeadSelfAttention(d, h) with forward(x, key_pad): True where a key is padding; causal by itself."""
import math

import torch
from torch import nn

ATTN_MASK = "blocked"


class MultiHeadSelfAttention(nn.Module):
    def __init__(self, d: int, h: int):
        super().__init__()
        self.h, self.dk = h, d // h
        self.qkv, self.o = nn.Linear(d, 3 * d), nn.Linear(d, d)

    def forward(self, x: torch.Tensor, key_pad: torch.Tensor) -> torch.Tensor:
        B, T, d = x.shape
        q, k, v = self.qkv(x).view(B, T, 3, self.h, self.dk).permute(2, 0, 3, 1, 4)
        blocked = key_pad[:, None, None, :] | torch.ones(T, T, dtype=torch.bool, device=x.device).triu(1)
        scores = (q @ k.mT / math.sqrt(self.dk)).masked_fill(blocked, torch.finfo(x.dtype).min)
        return self.o((scores.softmax(-1) @ v).transpose(1, 2).reshape(B, T, d))
