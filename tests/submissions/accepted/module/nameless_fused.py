"""Query, key and value in one matrix whose name does not say so."""
import torch
from torch import nn


class SelfAttention(nn.Module):
    def __init__(self, d_model, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.attention_input = nn.Linear(d_model, 3 * d_model)
        self.mixer = nn.Linear(d_model, d_model)

    def forward(self, x):
        B, T, C = x.shape
        q, k, v = (part.view(B, T, self.num_heads, -1).transpose(1, 2) for part in self.attention_input(x).chunk(3, -1))
        y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.mixer(y.transpose(1, 2).reshape(B, T, C))
