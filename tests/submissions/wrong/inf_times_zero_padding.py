# expect: inf-times-zero
import torch
from torch import nn


class CausalAttention(nn.Module):
    def __init__(self, embed_dim, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.in_proj, self.out_proj = nn.Linear(embed_dim, 3 * embed_dim), nn.Linear(embed_dim, embed_dim)

    def forward(self, x, padding_mask):
        batch, seq, width = x.shape
        query, key, value = self.in_proj(x).view(batch, seq, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        scores = query @ key.transpose(-2, -1) / (width // self.num_heads) ** 0.5
        scores = scores.masked_fill(torch.ones(seq, seq, dtype=torch.bool).triu(1), float("-inf"))
        scores = scores * padding_mask[:, None, None]
        return self.out_proj((scores.softmax(-1) @ value).transpose(1, 2).reshape(batch, seq, width))
