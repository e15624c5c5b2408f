# expect: correct
# Near miss of projection-transposed: matrices as nn.Linear keeps them, (out_features, in_features), all transposed.
import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self, d_model, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.w_q, self.w_k, self.w_v, self.w_o = (nn.Parameter(torch.randn(d_model, d_model)) for _ in range(4))

    def forward(self, x, mask=None):
        q, k, v = (
            (x @ weight.T).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for weight in (self.w_q, self.w_k, self.w_v)
        )
        scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2) @ self.w_o.T
