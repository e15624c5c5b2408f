# expect: correct
import torch
from torch import nn
from torch.nn import functional as F


class SelfAttention(nn.Module):
    """The weights are used apart from their biases, which are added afterwards, and keys have none."""

    def __init__(self, n_embd, n_head):
        super().__init__()
        self.n_head = n_head
        self.query = nn.Linear(n_embd, n_embd)
        self.key = nn.Linear(n_embd, n_embd, bias=False)
        self.value = nn.Linear(n_embd, n_embd)
        self.proj = nn.Linear(n_embd, n_embd)

    def forward(self, x):
        q = x @ self.query.weight.T + self.query.bias
        k = F.linear(x, self.key.weight)
        # The weights of a query sum to 1, so the bias of the values can wait until after them.
        v = F.linear(x, self.value.weight)
        q, k, v = (part.unflatten(-1, (self.n_head, -1)).transpose(1, 2) for part in (q, k, v))
        scores = (q @ k.mT) * k.shape[-1] ** -0.5
        future = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).triu(1)
        mixed = scores.masked_fill(future, float("-inf")).softmax(-1) @ v
        return F.linear(mixed.transpose(1, 2).flatten(2) + self.value.bias, self.proj.weight, self.proj.bias)
