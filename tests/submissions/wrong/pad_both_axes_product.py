# expect: pad-both-axes
import math

import torch
from torch import nn


class CausalAttention(nn.Module):
    def __init__(self, d_model, n_heads):
        super().__init__()
        self.n_heads = n_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)

    def heads(self, states):
        return states.view(states.size(0), states.size(1), self.n_heads, -1).transpose(1, 2)

    def forward(self, x, padding_mask=None):
        q, k, v = self.heads(self.w_q(x)), self.heads(self.w_k(x)), self.heads(self.w_v(x))
        keep = torch.ones(x.size(1), x.size(1), dtype=torch.bool).tril()[None]
        if padding_mask is not None:
            keep = keep & padding_mask[:, None, :] & padding_mask[:, :, None]
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.size(-1))
        scores = scores.masked_fill(~keep.unsqueeze(1), float("-inf"))
        out = scores.softmax(-1) @ v
        return self.w_o(out.transpose(1, 2).reshape(x.shape))
