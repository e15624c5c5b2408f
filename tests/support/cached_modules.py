"""Modules with a cache, in the styles that people write: returned, kept inside, written by `start_pos`, rotary."""

from __future__ import annotations

RETURNED = """
import math
import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self, n_embd, n_head):
        super().__init__()
        self.n_head = n_head
        self.c_attn = nn.Linear(n_embd, 3 * n_embd)
        self.c_proj = nn.Linear(n_embd, n_embd)

    def forward(self, x, layer_past=None, use_cache=False):
        b, t, c = x.shape
        q, k, v = self.c_attn(x).split(c, dim=-1)
        q, k, v = (z.view(b, t, self.n_head, -1).transpose(1, 2) for z in (q, k, v))
        new = (k, v)
        if layer_past is not None:
            k, v = (torch.cat(pair, -2) for pair in zip(layer_past, (k, v)))
        present = (k, v)
        s = k.shape[-2]
        keep = torch.ones(t, s, dtype=torch.bool).tril(s - t)
        scores = (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).masked_fill(~keep, float("-inf"))
        out = (scores.softmax(-1) @ v).transpose(1, 2).reshape(b, t, c)
        return self.c_proj(out), present if use_cache else None
"""

KEPT = """
import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self, d_in, d_out, num_heads):
        super().__init__()
        self.num_heads, self.head_dim = num_heads, d_out // num_heads
        self.query, self.key, self.value = (nn.Linear(d_in, d_out, bias=False) for _ in range(3))
        self.out_proj = nn.Linear(d_out, d_out)
        self.register_buffer("cached_keys", None, persistent=False)
        self.register_buffer("cached_values", None, persistent=False)
        self.seen = 0

    def forward(self, x, use_cache=False):
        b, t, d = x.shape
        q, k, v = (proj(x).view(b, t, self.num_heads, -1) for proj in (self.query, self.key, self.value))
        start = 0
        if use_cache:
            if self.cached_keys is None:
                self.cached_keys, self.cached_values = k, v
            else:
                self.cached_keys = torch.cat([self.cached_keys, k], dim=1)
                self.cached_values = torch.cat([self.cached_values, v], dim=1)
            k, v = self.cached_keys, self.cached_values
            start = self.seen
            self.seen += t
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        rows = torch.arange(start, start + t).unsqueeze(-1)
        cols = torch.arange(k.shape[-2]).unsqueeze(0)
        scores = (q @ k.transpose(2, 3) / self.head_dim**0.5).masked_fill(rows < cols, -torch.inf)
        return self.out_proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, t, d))
"""

ROTARY = """
import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self, d_model, num_heads, rope_theta=10000.0):
        super().__init__()
        self.h, self.d, self.theta = num_heads, d_model // num_heads, rope_theta
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model, bias=False) for _ in range(4))

    def rotate(self, x, start):
        half = self.d // 2
        angles = torch.arange(start, start + x.shape[-2])[:, None] * self.theta ** (-torch.arange(half) / half)
        a, b = x.chunk(2, -1)
        return torch.cat([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()], -1)

    def forward(self, x, cache=None):
        b, t, _ = x.shape
        q, k, v = (proj(x).view(b, t, self.h, self.d).transpose(1, 2) for proj in (self.q, self.k, self.v))
        past = 0 if cache is None else cache["k"].shape[-2]
        q, k = self.rotate(q, past), self.rotate(k, past)
        if cache is not None:
            k, v = torch.cat([cache["k"], k], -2), torch.cat([cache["v"], v], -2)
        # joined
        s = k.shape[-2]
        blocked = torch.arange(s)[None] > torch.arange(past, s)[:, None]
        scores = (q @ k.transpose(-2, -1) / self.d**0.5).masked_fill(blocked, -torch.inf)
        return self.o((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, t, -1)), {"k": k, "v": v}
"""

START_POS = """
import math
import torch
from torch import nn


def turn(x, freqs_cis):
    pairs = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * freqs_cis[None, :, None]).flatten(3).type_as(x)


class Attention(nn.Module):
    def __init__(self, dim, n_heads, n_kv_heads, max_batch_size=8, max_seq_len=256):
        super().__init__()
        self.n_heads, self.n_kv_heads, self.d = n_heads, n_kv_heads, dim // n_heads
        self.wq = nn.Linear(dim, n_heads * self.d, bias=False)
        self.wk = nn.Linear(dim, n_kv_heads * self.d, bias=False)
        self.wv = nn.Linear(dim, n_kv_heads * self.d, bias=False)
        self.wo = nn.Linear(n_heads * self.d, dim, bias=False)
        self.cache_k = torch.zeros(max_batch_size, max_seq_len, n_kv_heads, self.d)
        self.cache_v = torch.zeros(max_batch_size, max_seq_len, n_kv_heads, self.d)

    def forward(self, x, start_pos, freqs_cis, mask):
        b, t, _ = x.shape
        stop = start_pos + t
        q = self.wq(x).view(b, t, self.n_heads, self.d)
        k, v = (proj(x).view(b, t, self.n_kv_heads, self.d) for proj in (self.wk, self.wv))
        q, k = turn(q, freqs_cis), turn(k, freqs_cis)
        self.cache_k, self.cache_v = self.cache_k.to(q), self.cache_v.to(q)
        self.cache_k[:b, start_pos:stop] = k
        self.cache_v[:b, start_pos:stop] = v
        shared = self.n_heads // self.n_kv_heads
        k, v = (cache[:b, :stop].repeat_interleave(shared, 2).transpose(1, 2) for cache in (self.cache_k, self.cache_v))
        scores = q.transpose(1, 2) @ k.transpose(2, 3) / math.sqrt(self.d)
        if mask is not None:
            scores = scores + mask
        return self.wo((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, t, -1))
"""
