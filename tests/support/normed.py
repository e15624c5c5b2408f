"""A module with QK-norm, rotary positions and grouped heads, as books write it, for tests to change."""

from __future__ import annotations

NORMED = """
import torch
from torch import nn

class RMSNorm(nn.Module):
    def __init__(self, dim, eps=1e-6):
        super().__init__()
        self.eps = eps
        self.scale = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.scale

def rotate(x, theta):
    t, d = x.shape[-2:]
    angles = torch.arange(t).double()[:, None] * theta ** (-torch.arange(0, d, 2).double() / d)
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)

class Attention(nn.Module):
    def __init__(self, d_in, num_heads, num_kv_groups, head_dim=None, qk_norm=False, theta=10000.0):
        super().__init__()
        head_dim = head_dim or d_in // num_heads
        self.h, self.g, self.d, self.theta = num_heads, num_kv_groups, head_dim, theta
        self.W_query = nn.Linear(d_in, num_heads * head_dim, bias=False)
        self.W_key = nn.Linear(d_in, num_kv_groups * head_dim, bias=False)
        self.W_value = nn.Linear(d_in, num_kv_groups * head_dim, bias=False)
        self.out_proj = nn.Linear(num_heads * head_dim, d_in, bias=False)
        if qk_norm:
            self.q_norm, self.k_norm = RMSNorm(head_dim), RMSNorm(head_dim)

    def forward(self, x, mask):
        b, t, _ = x.shape
        q = self.W_query(x).view(b, t, self.h, self.d).transpose(1, 2)
        k = self.W_key(x).view(b, t, self.g, self.d).transpose(1, 2)
        v = self.W_value(x).view(b, t, self.g, self.d).transpose(1, 2)
        if hasattr(self, "q_norm"):
            q, k = self.q_norm(q), self.k_norm(k)
        q, k = rotate(q, self.theta), rotate(k, self.theta)
        k, v = (z.repeat_interleave(self.h // self.g, 1) for z in (k, v))
        scores = (q @ k.transpose(2, 3) / self.d ** 0.5).masked_fill(~mask, float("-inf"))
        return self.out_proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, t, -1))
"""
# All heads side by side, before they are split.
NORMED_WIDE = (
    NORMED.replace(
        "RMSNorm(head_dim), RMSNorm(head_dim)", "RMSNorm(num_heads * head_dim), RMSNorm(num_kv_groups * head_dim)"
    )
    .replace("self.W_query(x).view", "self.q_norm(self.W_query(x)).view")
    .replace("self.W_key(x).view", "self.k_norm(self.W_key(x)).view")
    .replace("            q, k = self.q_norm(q), self.k_norm(k)\n", "            pass\n")
)
