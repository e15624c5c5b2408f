# expect: output-projection-unused
import torch
from torch import nn


class MultiHeadAttention(nn.Module):
    def __init__(self, d_in, d_out, context_length, num_heads):
        super().__init__()
        self.num_heads, self.head_dim = num_heads, d_out // num_heads
        self.W_query, self.W_key, self.W_value = (nn.Linear(d_in, d_out) for _ in range(3))
        self.out_proj = nn.Linear(d_out, d_out)
        self.register_buffer("mask", torch.ones(context_length, context_length, dtype=torch.bool).triu(1))

    def forward(self, x):
        batch, seq, _ = x.shape
        heads = (batch, seq, self.num_heads, self.head_dim)
        query, key, value = (layer(x).view(heads).transpose(1, 2) for layer in (self.W_query, self.W_key, self.W_value))
        scores = (query @ key.transpose(2, 3)).masked_fill(self.mask[:seq, :seq], -torch.inf)
        weights = torch.softmax(scores / self.head_dim**0.5, dim=-1)
        context = (weights @ value).transpose(1, 2).reshape(batch, seq, -1)
        return context
