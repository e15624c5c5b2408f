"""(w_q, w_k, w_v, w_o, width, heads): the constructor is given its matrices, stored (out, in), and no biases."""
import math

import torch
from torch import nn


class AttentionOfMatrices(nn.Module):
    def __init__(self, w_q, w_k, w_v, w_o, width, heads):
        super().__init__()
        self.w_q, self.w_k, self.w_v, self.w_o = w_q, w_k, w_v, w_o
        self.heads, self.size = heads, width // heads

    def forward(self, x, causal=False):
        batch, seq, width = x.shape
        q = (x @ self.w_q.T).view(batch, seq, self.heads, self.size)
        k = (x @ self.w_k.T).view(batch, seq, self.heads, self.size)
        v = (x @ self.w_v.T).view(batch, seq, self.heads, self.size)
        scores = torch.einsum("bihd,bjhd->bhij", q, k) / math.sqrt(self.size)
        if causal:
            scores = scores.masked_fill(torch.ones(seq, seq, dtype=torch.bool).triu(1), -torch.inf)
        return torch.einsum("bhij,bjhd->bihd", scores.softmax(-1), v).reshape(batch, seq, width) @ self.w_o.T
