"""qkv packed head by head, (h, 3, d), as GPT-NeoX does; bare matrices, no biases."""
import torch
from torch import nn


class FusedAttention(nn.Module):
    def __init__(self, dim, heads=8, dim_head=64, dropout=0.0):
        super().__init__()
        self.heads, self.dim_head, self.dropout = heads, dim_head, nn.Dropout(dropout)
        self.to_qkv = nn.Parameter(torch.randn(dim, heads * 3 * dim_head))
        self.to_out = nn.Parameter(torch.randn(heads * dim_head, dim))

    def forward(self, x, mask=None):
        b, n, _ = x.shape
        qkv = (x @ self.to_qkv).reshape(b, n, self.heads, 3, self.dim_head)
        q, k, v = (qkv[:, :, :, i].transpose(1, 2) for i in range(3))
        dots = torch.einsum("bhid,bhjd->bhij", q, k) * self.dim_head**-0.5
        if mask is not None:
            dots = dots.masked_fill(~mask, -torch.finfo(dots.dtype).max)
        attn = dots.softmax(dim=-1)
        out = torch.einsum("bhij,bhjd->bihd", self.dropout(attn), v).reshape(b, n, -1)
        return out @ self.to_out, attn
