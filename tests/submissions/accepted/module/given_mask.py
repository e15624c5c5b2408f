"""(d_model, num_heads, mask): the constructor is given a mask of four axes, which is cut to the length of the text."""
from torch import nn


class MaskedAttention(nn.Module):
    def __init__(self, d_model, num_heads, mask):
        super().__init__()
        if mask.dim() != 4:
            raise ValueError("a mask has four axes")
        self.register_buffer("mask", mask)
        self.num_heads = num_heads
        self.query, self.key, self.value, self.out = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, x):
        length = x.shape[1]
        q, k, v = (
            part(x).unflatten(2, (self.num_heads, -1)).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        scores = (q @ k.transpose(2, 3)) / q.shape[3] ** 0.5
        scores = scores.masked_fill(self.mask[:, :, :length, :length] == 0, float("-inf"))
        return self.out((scores.softmax(3) @ v).transpose(1, 2).reshape(x.shape))
