"""A base class with the projections, a subclass with the attention; no argument has an ordinary place."""
# chosen with :CausalAttention
import torch
from torch import nn


class WithProjections(nn.Module):
    def __init__(self, *, num_heads, hidden_size, max_position_embeddings=1024, resid_dropout=0.1):
        super().__init__()
        self.nh = num_heads
        for name in ("q_lin", "k_lin", "v_lin", "out_lin"):
            setattr(self, name, nn.Linear(in_features=hidden_size, out_features=hidden_size))
        self.dropout = nn.Dropout(resid_dropout)

    def heads(self, t):
        return t.reshape(t.size(0), t.size(1), self.nh, -1).swapaxes(1, 2)


class CausalAttention(WithProjections):
    def forward(self, input):
        q, k, v = self.heads(self.q_lin(input)), self.heads(self.k_lin(input)), self.heads(self.v_lin(input))
        n = q.size(2)
        bias = torch.zeros(n, n, dtype=q.dtype).masked_fill(torch.ones(n, n).tril() == 0, float("-inf"))
        weights = torch.softmax(torch.matmul(q, k.mT) / q.size(3) ** 0.5 + bias, -1)
        out = (weights @ v).swapaxes(1, 2).reshape(input.size())
        return {"hidden": self.dropout(self.out_lin(out)), "attention": weights}
