# expect: hard-T
import torch
from torch import nn


class CausalSelfAttention(nn.Module):
    def __init__(self, d_model, n_heads, max_len=64):
        super().__init__()
        self.n_heads = n_heads
        self.qkv = nn.Linear(d_model, 3 * d_model)
        self.proj = nn.Linear(d_model, d_model)
        self.register_buffer("keep", torch.tril(torch.ones(max_len, max_len)))

    def forward(self, x):
        batch, seq, width = x.shape
        heads = (batch, seq, self.n_heads, width // self.n_heads)
        query, key, value = (part.view(heads).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=-1))
        scores = query @ key.transpose(-2, -1) / heads[-1] ** 0.5
        weights = scores.masked_fill(self.keep == 0, float("-inf")).softmax(dim=-1)
        return self.proj((weights @ value).transpose(1, 2).reshape(batch, seq, width))
