# expect: activation-inside
import torch
from torch import nn


class SelfAttention(nn.Module):
    def __init__(self, emb_size, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(emb_size, 3 * emb_size)
        self.unify = nn.Linear(emb_size, emb_size)

    def forward(self, x, mask=None):
        b, t, e = x.shape
        q, k, v = self.qkv(x).reshape(b, t, 3, self.heads, e // self.heads).permute(2, 0, 3, 1, 4)
        dots = torch.einsum("bhie,bhje->bhij", q, k) / (e // self.heads) ** 0.5
        if mask is not None:
            dots = dots.masked_fill(~mask, float("-inf"))
        out = torch.einsum("bhij,bhje->bhie", dots.softmax(-1), v)
        return torch.relu(self.unify(out.transpose(1, 2).reshape(b, t, e)))
