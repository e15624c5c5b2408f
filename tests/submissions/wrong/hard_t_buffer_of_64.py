# expect: hard-T
import torch
from torch import nn


class Head(nn.Module):
    def __init__(self, n_embd, n_head):
        super().__init__()
        self.n_head = n_head
        self.c_attn = nn.Linear(n_embd, 3 * n_embd)
        self.c_proj = nn.Linear(n_embd, n_embd)
        self.register_buffer("tril", torch.tril(torch.ones(64, 64)))

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = (z.view(b, t, self.n_head, -1).transpose(1, 2) for z in self.c_attn(x).split(c, dim=-1))
        wei = q @ k.transpose(-2, -1) * (c // self.n_head) ** -0.5
        wei = wei.masked_fill(self.tril[:t, :t] == 0, float("-inf")).softmax(dim=-1)
        return self.c_proj((wei @ v).transpose(1, 2).reshape(b, t, c))
