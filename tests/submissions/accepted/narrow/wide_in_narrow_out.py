"""128 in, one head of 64 out; (seq, batch, features); a NamedTuple comes back."""
from collections import namedtuple

import torch
from torch import nn

Out = namedtuple("Out", "context weights")


class SingleHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc_q = nn.Linear(128, 64)
        self.fc_k = nn.Linear(128, 64)
        self.fc_v = nn.Linear(128, 64)

    def forward(self, x):
        q, k, v = self.fc_q(x), self.fc_k(x), self.fc_v(x)
        s = torch.einsum("ibd,jbd->bij", q, k) / 8.0
        T = len(x)
        s = s.masked_fill(~torch.ones(T, T, dtype=torch.bool).tril(), -torch.inf)
        w = torch.softmax(s, dim=-1)
        return Out(torch.einsum("bij,jbd->ibd", w, v), w)
