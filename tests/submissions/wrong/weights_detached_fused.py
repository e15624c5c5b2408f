# expect: weights-detached
import math

import torch
from torch import nn


class CausalAttention(nn.Module):
    """One layer makes query, key and value, so that its weight gets a gradient from the values."""

    def __init__(self, config):
        super().__init__()
        self.n_head = config.n_head
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)

    def forward(self, x):
        B, T, C = x.shape
        q, k, v = (t.view(B, T, self.n_head, C // self.n_head).transpose(1, 2) for t in self.c_attn(x).split(C, 2))
        att = q @ k.transpose(-2, -1) / math.sqrt(k.size(-1))
        att = att.masked_fill(~torch.ones(T, T, dtype=torch.bool, device=x.device).tril(), float("-inf"))
        weights = att.softmax(dim=-1).detach()
        return self.c_proj((weights @ v).transpose(1, 2).reshape(B, T, C))
