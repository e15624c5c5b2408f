# expect: heads-as-seq
import torch
from torch import nn
from torch.nn import functional as F


class CausalAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.n_head = config.n_head
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)
        triangle = torch.ones(config.block_size, config.block_size, dtype=torch.bool).tril()
        self.register_buffer("triangle", triangle)

    def forward(self, x):
        B, T, C = x.size()
        q, k, v = self.c_attn(x).view(B, T, 3, self.n_head, C // self.n_head).unbind(2)
        att = torch.einsum("bnhd,bnkd->bnhk", q, k) * (C // self.n_head) ** -0.5
        att = F.softmax(att.masked_fill(~self.triangle[:T, :T], float("-inf")), dim=-1)
        return self.c_proj((att @ v).reshape(B, T, C))
