# expect: mask-of-zeros
import torch
from torch import nn


class CausalAttention(nn.Module):
    def __init__(self, n_embd, n_head, block_size=1024):
        super().__init__()
        self.n_head = n_head
        self.attn = nn.Linear(n_embd, 3 * n_embd)
        self.proj = nn.Linear(n_embd, n_embd)
        self.register_buffer("mask", torch.tril(torch.zeros(block_size, block_size)))

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = (z.view(b, t, self.n_head, -1).transpose(1, 2) for z in self.attn(x).split(c, dim=-1))
        att = q @ k.transpose(-2, -1) / q.size(-1) ** 0.5
        att = att.masked_fill(self.mask[:t, :t] == 0, float("-inf")).softmax(dim=-1)
        return self.proj((att @ v).transpose(1, 2).reshape(b, t, c))
