# expect: correct
import math

import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.heads = config.num_attention_heads
        self.causal_only = getattr(config, "causal_only", False)
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.out_proj = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, x, mask=None):
        batch, length, width = x.shape
        q, k, v = (
            part.view(batch, length, self.heads, width // self.heads).transpose(1, 2)
            for part in self.qkv(x).chunk(3, dim=-1)
        )
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))
        if mask is not None and not self.causal_only:
            scores = scores.masked_fill(~mask, float("-inf"))
        output = torch.softmax(scores, dim=-1) @ v
        return self.out_proj(output.transpose(1, 2).reshape(batch, length, width))
