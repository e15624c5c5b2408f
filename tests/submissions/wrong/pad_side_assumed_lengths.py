# expect: pad-side-assumed
import torch
from torch import nn


class Attention(nn.Module):
    """Causal by itself; padding_mask (batch, key) is True for real tokens."""

    def __init__(self, embed_dim, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.qkv, self.out = nn.Linear(embed_dim, 3 * embed_dim), nn.Linear(embed_dim, embed_dim)

    def forward(self, x, padding_mask=None):
        batch, seq, width = x.shape
        q, k, v = self.qkv(x).view(batch, seq, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        keep = torch.ones(seq, seq, dtype=torch.bool).tril()[None]
        if padding_mask is not None:
            lengths = padding_mask.sum(dim=-1)
            keep = keep & (torch.arange(seq)[None, None] < lengths[:, None, None])
        scores = (q @ k.transpose(-2, -1) * (width // self.num_heads) ** -0.5).masked_fill(~keep[:, None], -1e9)
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, seq, width))
