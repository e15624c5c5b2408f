"""Unusual names and a `load_projections` that says which is which; the scale is folded into the query."""
import torch
from torch import nn


class TurnstileAttention(nn.Module):
    def __init__(self, d_model, num_heads):
        super().__init__()
        self.num_heads, self.d_model = num_heads, d_model
        self.asks = nn.Linear(d_model, d_model)
        self.tells = nn.Parameter(torch.zeros(2, d_model, d_model))
        self.shifts = nn.Parameter(torch.zeros(2, d_model))
        self.last = nn.Linear(d_model, d_model)

    def load_projections(self, w_q, w_k, w_v, w_o, biases):
        b_q, b_k, b_v, b_o = biases
        factor = (self.d_model // self.num_heads) ** -0.5
        with torch.no_grad():
            self.asks.weight.copy_(w_q.T * factor)
            self.tells.copy_(torch.stack([w_v, w_k]))
            self.last.weight.copy_(w_o.T)
            if b_q is not None:
                self.asks.bias.copy_(b_q * factor)
                self.shifts.copy_(torch.stack([b_v, b_k]))
            if b_o is not None:
                self.last.bias.copy_(b_o)

    def forward(self, x, mask=None):
        v, k = torch.einsum("btm,nmd->nbtd", x, self.tells) + self.shifts[:, None, None]
        q, k, v = (t.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for t in (self.asks(x), k, v))
        scores = q @ k.mT
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        return self.last((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
