"""(seq, model) without a batch, W_Q and W_O as matrices, a mask of shape (seq, seq)."""
import torch
from torch import nn


class MultiHeadSelfAttention(nn.Module):
    def __init__(self, d_model, num_heads):
        super().__init__()
        self.W_Q = nn.Parameter(torch.randn(d_model, d_model) / d_model**0.5)
        self.W_K = nn.Parameter(torch.randn(d_model, d_model) / d_model**0.5)
        self.W_V = nn.Parameter(torch.randn(d_model, d_model) / d_model**0.5)
        self.W_O = nn.Parameter(torch.randn(d_model, d_model) / d_model**0.5)
        self.num_heads = num_heads

    def forward(self, X, mask):
        n, d = X.size()
        Q, K, V = X @ self.W_Q, X @ self.W_K, X @ self.W_V
        heads = []
        for q, k, v in zip(*(t.chunk(self.num_heads, dim=1) for t in (Q, K, V))):
            A = torch.softmax((q @ k.t() / k.size(1) ** 0.5).masked_fill(~mask, -1e9), dim=1)
            heads.append(A @ v)
        return torch.cat(heads, dim=1) @ self.W_O
