# expect: layer-not-called
import math

import torch
import torch.nn as nn


class Head(nn.Module):
    def __init__(self, n_embd, head_size):
        super().__init__()
        self.to_q, self.to_k, self.to_v = (nn.Linear(n_embd, head_size) for _ in range(3))
        self.scale = math.sqrt(head_size)

    def forward(self, x):
        seq = x.shape[1]
        att = self.to_q(x) @ self.to_k(x).mT / self.scale
        att = att.masked_fill(torch.tril(torch.ones(seq, seq)) == 0, float("-inf")).softmax(dim=-1)
        return torch.matmul(att, self.to_v)
