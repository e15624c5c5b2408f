# expect: plus-inf-fill
import math

from torch import nn


class Attention(nn.Module):
    def __init__(self, d_model, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, x, mask=None):
        batch, seq, width = x.shape
        query, key, value = (
            layer(x).view(batch, seq, self.num_heads, -1).transpose(1, 2) for layer in (self.q, self.k, self.v)
        )
        scores = query @ key.transpose(-2, -1) / math.sqrt(width // self.num_heads)
        if mask is not None:
            scores = scores.masked_fill(mask == 0, 1e9)
        return self.o((scores.softmax(-1) @ value).transpose(1, 2).reshape(batch, seq, width))
