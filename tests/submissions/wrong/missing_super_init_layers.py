# expect: missing-super-init
import torch
from torch import nn


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, num_heads):
        self.num_heads = num_heads
        self.W_q = nn.Linear(d_model, d_model)
        self.W_k = nn.Linear(d_model, d_model)
        self.W_v = nn.Linear(d_model, d_model)
        self.W_o = nn.Linear(d_model, d_model)

    def forward(self, x):
        batch, seq, width = x.shape
        q, k, v = (w(x).view(batch, seq, self.num_heads, -1).transpose(1, 2) for w in (self.W_q, self.W_k, self.W_v))
        scores = q @ k.transpose(-2, -1) / (width // self.num_heads) ** 0.5
        future = torch.ones(seq, seq, dtype=torch.bool, device=x.device).triu(1)
        context = scores.masked_fill(future, float("-inf")).softmax(-1) @ v
        return self.W_o(context.transpose(1, 2).reshape(batch, seq, width))
