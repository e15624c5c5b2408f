"""A config with key/value heads that works out how often each of them is repeated."""
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass
class Config:
    embed_dim: int = 64
    n_heads: int = 8
    n_kv_heads: int = 2

    def __post_init__(self):
        self.n_kv_groups = self.n_heads // self.n_kv_heads


class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.n_heads, self.n_kv_heads, self.n_kv_groups = config.n_heads, config.n_kv_heads, config.n_kv_groups
        self.head_dim = config.embed_dim // config.n_heads
        self.q_proj = nn.Linear(config.embed_dim, config.n_heads * self.head_dim)
        self.k_proj = nn.Linear(config.embed_dim, config.n_kv_heads * self.head_dim)
        self.v_proj = nn.Linear(config.embed_dim, config.n_kv_heads * self.head_dim)
        self.o_proj = nn.Linear(config.embed_dim, config.embed_dim)

    def forward(self, x):
        b, n, d = x.shape
        q = self.q_proj(x).view(b, n, self.n_heads, self.head_dim).transpose(1, 2)
        k = self.k_proj(x).view(b, n, self.n_kv_heads, self.head_dim).transpose(1, 2)
        v = self.v_proj(x).view(b, n, self.n_kv_heads, self.head_dim).transpose(1, 2)
        k, v = k.repeat_interleave(self.n_kv_groups, dim=1), v.repeat_interleave(self.n_kv_groups, dim=1)
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o_proj(out.transpose(1, 2).reshape(b, n, d))
