"""The list of heads repeats one head, whose weights all places share."""
# message: one head in several places: heads\.0, heads\.1, .* same object, and share their weights.*Make a new head for
import torch
from torch import nn


class Head(nn.Module):
    def __init__(self, d_model, head_dim):
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(d_model, head_dim) for _ in range(3))

    def forward(self, x):
        scores = self.query(x) @ self.key(x).mT / self.query.out_features**0.5
        return scores.softmax(-1) @ self.value(x)


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, num_heads):
        super().__init__()
        self.heads = nn.ModuleList([Head(d_model, d_model // num_heads)] * num_heads)
        self.out = nn.Linear(d_model, d_model)

    def forward(self, x):
        return self.out(torch.cat([head(x) for head in self.heads], dim=-1))
