"""(heads, W_q: nn.Linear, …): the constructor is given its linear layers."""
import torch
from torch import nn


class SharedProjections(nn.Module):
    def __init__(self, heads: int, W_q: nn.Linear, W_k: nn.Linear, W_v: nn.Linear, W_o: nn.Linear):
        super().__init__()
        self.heads, self.inputs, self.out = heads, nn.ModuleDict({"q": W_q, "k": W_k, "v": W_v}), W_o

    def attention(self, x, mask=None):
        q, k, v = (layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer in self.inputs.values())
        scores = q @ k.mT / q.size(-1) ** 0.5
        if mask is not None:
            scores = torch.where(mask, scores, -torch.inf)
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).flatten(-2))

    forward = attention
