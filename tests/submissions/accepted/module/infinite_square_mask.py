"""A mask (query, key) of 0 and -inf, which gets two axes more; where it holds -inf, nothing may be attended to."""
import torch
from torch import nn


class MultiHead(nn.Module):
    def __init__(self, d_model, num_heads):
        super().__init__()
        self.num_heads, self.head_dim = num_heads, d_model // num_heads
        self.q_map, self.k_map, self.v_map, self.out_map = (nn.Linear(d_model, d_model) for _ in range(4))

    def heads_of(self, states):
        return states.view(states.size(0), -1, self.num_heads, self.head_dim).transpose(1, 2)

    def forward(self, q, k, v, mask=None):
        q, k, v = self.heads_of(self.q_map(q)), self.heads_of(self.k_map(k)), self.heads_of(self.v_map(v))
        scores = torch.matmul(q, k.transpose(-2, -1)) / self.head_dim**0.5
        if mask is not None:
            scores = scores.masked_fill(mask[None, None] == float("-inf"), float("-inf"))
        heads = torch.matmul(scores.softmax(dim=-1), v).transpose(1, 2)
        return self.out_map(heads.contiguous().view(q.size(0), -1, self.num_heads * self.head_dim))
