"""Causal by itself, with a required padding mask of four axes, (batch, 1, query, key), which is cut to the length."""
import torch
from torch import nn


class CausalSelfAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.h = config["n_head"]
        self.qkv = nn.Linear(config["n_embd"], 3 * config["n_embd"])
        self.out = nn.Linear(config["n_embd"], config["n_embd"])
        self.register_buffer("past", torch.ones(config["block_size"], config["block_size"]).tril()[None, None])

    def forward(self, x, pad_mask):
        B, T, C = x.size()
        q, k, v = (t.view(B, T, self.h, C // self.h).transpose(1, 2) for t in self.qkv(x).split(C, dim=2))
        s = q @ k.transpose(-2, -1) * k.size(-1) ** -0.5
        s = s.masked_fill(self.past[:, :, :T, :T] == 0, float("-inf"))
        if pad_mask is not None:
            s = torch.nan_to_num(s.masked_fill(pad_mask[:, :, :T, :T] == 0, float("-inf")))
        return self.out((s.softmax(-1) @ v).transpose(1, 2).reshape(B, T, C))
