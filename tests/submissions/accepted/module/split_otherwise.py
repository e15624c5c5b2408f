"""c_attn as usual, but split as key, query, value: the name does not say so."""
import torch
from torch import nn


class SelfAttention(nn.Module):
    def __init__(self, n_embd, n_head, block_size, dropout):
        super().__init__()
        self.c_attn = nn.Linear(n_embd, 3 * n_embd)
        self.c_proj = nn.Linear(n_embd, n_embd)
        self.n_head, self.p = n_head, dropout
        self.register_buffer("hidden", torch.ones(block_size, block_size).triu(1).bool())

    def forward(self, x):
        B, T, C = x.shape
        k, q, v = (t.view(B, T, self.n_head, -1).transpose(1, 2) for t in self.c_attn(x).split(C, -1))
        att = q.matmul(k.mT).mul(q.shape[-1] ** -0.5).masked_fill(self.hidden[:T, :T], -torch.inf).softmax(-1)
        att = nn.functional.dropout(att, self.p, self.training)
        return self.c_proj(att.matmul(v).transpose(1, 2).reshape(B, T, C))
