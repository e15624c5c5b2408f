"""Lists of projections, one for each head, with heads of twice the usual width."""
import torch
from torch import nn


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int):
        super().__init__()
        self.d_k = 2 * d_model // num_heads

        def layers():
            return nn.ModuleList(nn.Linear(d_model, self.d_k) for _ in range(num_heads))

        self.queries, self.keys, self.values = layers(), layers(), layers()
        self.output = nn.Linear(num_heads * self.d_k, d_model)

    def forward(self, x, mask=None):
        contexts = []
        for to_query, to_key, to_value in zip(self.queries, self.keys, self.values):
            scores = to_query(x) @ to_key(x).mT * self.d_k**-0.5
            if mask is not None:
                scores = scores.masked_fill(~mask, -torch.inf)
            contexts.append(torch.softmax(scores, -1) @ to_value(x))
        return self.output(torch.cat(contexts, -1))
