"""to_q and to_kv, as for cross-attention; a context that may be left out; a key mask of shape (batch, key)."""
import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self, dim, *, heads=8, dim_head=64, causal=True, dropout=0.0):
        super().__init__()
        inner_dim = dim_head * heads
        self.heads, self.scale, self.causal = heads, dim_head**-0.5, causal
        self.to_q = nn.Linear(dim, inner_dim, bias=False)
        self.to_kv = nn.Linear(dim, inner_dim * 2, bias=False)
        self.to_out = nn.Linear(inner_dim, dim, bias=False)
        self.drop = nn.Dropout(dropout)

    def forward(self, x, context=None, mask=None):
        context = x if context is None else context
        q, k, v = (self.to_q(x), *self.to_kv(context).chunk(2, dim=-1))
        q, k, v = (t.reshape(*t.shape[:2], self.heads, -1).transpose(1, 2) for t in (q, k, v))
        sim = torch.einsum("b h i d, b h j d -> b h i j", q, k) * self.scale
        blocked = torch.zeros_like(sim, dtype=torch.bool)
        if mask is not None:
            assert mask.dim() == 2
            blocked = blocked | ~mask[:, None, None, :]
        if self.causal:
            blocked = blocked | torch.ones(*sim.shape[-2:], dtype=torch.bool).triu(1)
        attn = self.drop(sim.masked_fill(blocked, -torch.finfo(sim.dtype).max).softmax(dim=-1))
        out = torch.einsum("b h i j, b h j d -> b h i d", attn, v).transpose(1, 2).flatten(2)
        return self.to_out(out)
