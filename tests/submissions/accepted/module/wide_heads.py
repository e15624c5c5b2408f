"""Every head is as wide as the model; the output projection brings them back to one width, which is called k."""
import torch
import torch.nn.functional as F
from torch import nn


class WideSelfAttention(nn.Module):
    def __init__(self, k, heads=8):
        super().__init__()
        self.heads = heads
        self.to_queries = nn.Linear(k, heads * k, bias=False)
        self.to_keys = nn.Linear(k, heads * k, bias=False)
        self.to_values = nn.Linear(k, heads * k, bias=False)
        self.unify = nn.Linear(heads * k, k)

    def split(self, states):
        batch, tokens, features = states.shape
        apart = states.view(batch, tokens, self.heads, features // self.heads)
        return apart.transpose(1, 2).reshape(batch * self.heads, tokens, -1)

    def forward(self, x):
        batch, tokens, k = x.shape
        queries, keys, values = map(self.split, (self.to_queries(x), self.to_keys(x), self.to_values(x)))
        dots = torch.bmm(queries / k**0.25, keys.transpose(1, 2) / k**0.25)
        later = torch.triu_indices(tokens, tokens, 1)
        dots[:, later[0], later[1]] = float("-inf")
        mixed = torch.bmm(F.softmax(dots, dim=2), values).view(batch, self.heads, tokens, k)
        return self.unify(mixed.transpose(1, 2).reshape(batch, tokens, self.heads * k))
