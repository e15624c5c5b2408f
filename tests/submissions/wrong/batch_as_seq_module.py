# expect: batch-as-seq
import torch
from torch import nn


class CausalAttention(nn.Module):
    """Takes hidden states of shape (batch, seq, features)."""

    def __init__(self, embed_dim, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.qkv, self.proj = nn.Linear(embed_dim, 3 * embed_dim), nn.Linear(embed_dim, embed_dim)

    def forward(self, x):
        batch, seq, width = x.shape
        split = self.qkv(x).reshape(batch, seq, 3, self.num_heads, width // self.num_heads)
        query, key, value = split.permute(2, 1, 3, 0, 4)
        scores = query @ key.transpose(-2, -1) * (width // self.num_heads) ** -0.5
        blocked = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        context = scores.masked_fill(blocked, float("-inf")).softmax(-1) @ value
        return self.proj(context.permute(2, 0, 1, 3).reshape(batch, seq, width))
