"""An object that exists already, 64 wide: nothing is constructed."""
# chosen with :attention
import torch
from torch import nn


class _Attention(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.to_qkv = nn.Linear(width, 3 * width, bias=False)
        self.width = width

    def forward(self, x, mask=None):
        q, k, v = torch.tensor_split(self.to_qkv(x), 3, dim=-1)
        sim = torch.einsum("bid,bjd->bij", q, k) / self.width**0.5
        sim = sim if mask is None else sim.masked_fill(~mask, -1e9)
        attn = sim.softmax(dim=-1)
        return torch.einsum("bij,bjd->bid", attn, v), attn


attention = _Attention(64)
