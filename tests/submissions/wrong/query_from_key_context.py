# expect: query-from-key
import torch
from torch import nn


class CrossAttention(nn.Module):
    def __init__(self, dim, heads, causal=True):
        super().__init__()
        self.heads, self.causal = heads, causal
        self.to_q = nn.Linear(dim, dim, bias=False)
        self.to_kv = nn.Linear(dim, 2 * dim, bias=False)
        self.to_out = nn.Linear(dim, dim)

    def forward(self, x, context=None):
        is_self_attention = context is None
        x = x if context is None else context
        q, k, v = self.to_q(x), *self.to_kv(x).chunk(2, dim=-1)
        q, k, v = (states.unflatten(-1, (self.heads, -1)).transpose(1, 2) for states in (q, k, v))
        scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
        if self.causal and is_self_attention:
            scores = scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), float("-inf"))
        return self.to_out((scores.softmax(dim=-1) @ v).transpose(1, 2).flatten(2))
