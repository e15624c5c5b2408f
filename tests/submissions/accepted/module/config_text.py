"""A config whose text says how to attend: cfg["impl"] is "manual", or "linear", which is something else, or …"""
import math

import torch
from torch import nn
from torch.nn import functional as F


class CausalAttention(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.heads, self.impl = cfg["n_heads"], cfg["impl"]
        self.qkv, self.proj = nn.Linear(cfg["d_model"], 3 * cfg["d_model"]), nn.Linear(cfg["d_model"], cfg["d_model"])

    def forward(self, x):
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=-1))
        if self.impl == "linear":
            y = F.elu(q).add(1) @ (F.elu(k).add(1).mT @ v)
        elif self.impl == "sdpa_fused":
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        elif self.impl == "manual":
            future = torch.ones(x.size(1), x.size(1), dtype=torch.bool, device=x.device).triu(1)
            y = (q @ k.mT / math.sqrt(q.size(-1))).masked_fill(future, float("-inf")).softmax(-1) @ v
        else:
            raise ValueError(self.impl)
        return self.proj(y.transpose(1, 2).flatten(2))
