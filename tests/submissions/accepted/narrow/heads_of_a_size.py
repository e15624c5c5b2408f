"""(num_heads, head_size), and the width of 64 is a constant of the file, which five heads cannot share."""
import torch
from torch import nn

MODEL_WIDTH = 64


class MultiHeadAttention(nn.Module):
    def __init__(self, num_heads, head_size):
        super().__init__()
        self.num_heads, self.head_size = num_heads, head_size
        self.q = nn.Linear(MODEL_WIDTH, MODEL_WIDTH)
        self.k = nn.Linear(MODEL_WIDTH, MODEL_WIDTH)
        self.v = nn.Linear(MODEL_WIDTH, MODEL_WIDTH)
        self.out = nn.Linear(MODEL_WIDTH, MODEL_WIDTH)

    def forward(self, x, mask=None):
        batch, length, _ = x.shape
        q, k, v = (f(x).view(batch, length, self.num_heads, self.head_size).transpose(1, 2) for f in (self.q, self.k, self.v))
        scores = q @ k.transpose(-2, -1) * self.head_size**-0.5
        if mask is not None:
            scores = scores.masked_fill(mask.logical_not(), -torch.inf)
        return self.out((scores.softmax(dim=-1) @ v).transpose(1, 2).reshape(batch, length, MODEL_WIDTH))
