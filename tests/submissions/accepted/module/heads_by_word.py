"""A list of heads whose layers are called embed_for_query, embed_for_key, embed_for_value; the sizes are a config's."""
import torch
from torch import nn


class Head(nn.Module):
    def __init__(self, settings):
        super().__init__()
        size = settings.hidden_size // settings.n_heads
        self.embed_for_query = nn.Linear(settings.hidden_size, size)
        self.embed_for_key = nn.Linear(settings.hidden_size, size)
        self.embed_for_value = nn.Linear(settings.hidden_size, size)
        self.size = size

    def forward(self, states, mask=None):
        scores = self.embed_for_query(states) @ self.embed_for_key(states).mT / self.size**0.5
        if mask is not None:
            scores = scores.masked_fill(mask == 0, float("-inf"))
        return torch.softmax(scores, dim=-1) @ self.embed_for_value(states)


class SelfAttention(nn.Module):
    def __init__(self, settings):
        super().__init__()
        self.heads = nn.ModuleList([Head(settings) for _ in range(settings.n_heads)])
        self.mixer = nn.Linear(settings.hidden_size, settings.hidden_size)

    def forward(self, states, mask=None):
        return self.mixer(torch.cat([head(states, mask) for head in self.heads], dim=-1))
