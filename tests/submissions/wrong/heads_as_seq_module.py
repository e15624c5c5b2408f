# expect: heads-as-seq
import math

from torch import nn


class SelfAttention(nn.Module):
    def __init__(self, embed_dim, num_heads):
        super().__init__()
        self.num_heads, self.head_dim = num_heads, embed_dim // num_heads
        self.query, self.key, self.value, self.out = (nn.Linear(embed_dim, embed_dim) for _ in range(4))

    def forward(self, x):
        batch, seq, width = x.shape
        shape = (batch, seq, self.num_heads, self.head_dim)
        q, k, v = self.query(x).view(shape), self.key(x).view(shape), self.value(x).view(shape)
        energy = q @ k.transpose(2, 3) / math.sqrt(self.head_dim)
        return self.out((energy.softmax(dim=-1) @ v).reshape(batch, seq, width))
