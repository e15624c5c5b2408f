"""Query, key and value of all heads packed feature by feature, (d, 3, h); the output has the heads side by side."""

import torch
from einops import rearrange
from torch import Tensor, nn


class CausalAttention(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (dim // heads) ** -0.5
        self.to_qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.to_out = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = rearrange(self.to_qkv(x), "b t (d k h) -> k b h t d", k=3, h=self.heads)
        scores = torch.einsum("bhqd,bhkd->bhqk", query, key) * self.scale
        tokens = x.shape[1]
        future = torch.ones(tokens, tokens, dtype=torch.bool, device=x.device).triu(1)
        weights = scores.masked_fill(future, float("-inf")).softmax(dim=-1)
        heads = torch.einsum("bhqk,bhkd->bhqd", weights, value)
        return self.to_out(rearrange(heads, "b h t d -> b t (h d)"))
