"""128 wide, two heads of 64, query, key and value as three arguments, an output projection."""
import torch
from torch import nn


class MultiHead(nn.Module):
    d_model, heads = 128, 2

    def __init__(self):
        super().__init__()
        self.query = nn.Linear(self.d_model, self.d_model)
        self.key = nn.Linear(self.d_model, self.d_model)
        self.value = nn.Linear(self.d_model, self.d_model)
        self.out = nn.Linear(self.d_model, self.d_model)
        self.n_heads = self.heads

    def forward(self, q, k, v, mask=None):
        B, T, C = q.shape
        q = self.query(q).reshape(B, T, self.heads, 64).transpose(1, 2)
        k = self.key(k).reshape(B, -1, self.heads, 64).transpose(1, 2)
        v = self.value(v).reshape(B, -1, self.heads, 64).transpose(1, 2)
        w = q @ k.mT * 64**-0.5
        if mask is not None:
            w = w.masked_fill(~mask, -torch.inf)
        w = w.softmax(-1)
        return self.out((w @ v).transpose(1, 2).reshape(B, T, C)), w
