"""A dictionary of sizes: cfg["emb_dim"], cfg["n_heads"], cfg["drop_rate"], cfg["qkv_bias"]."""
import torch
from torch import nn


class CausalAttention(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        d, self.h = cfg["emb_dim"], cfg["n_heads"]
        self.queries = nn.Linear(d, d, bias=cfg["qkv_bias"])
        self.keys = nn.Linear(d, d, bias=cfg["qkv_bias"])
        self.values = nn.Linear(d, d, bias=cfg["qkv_bias"])
        self.proj = nn.Linear(d, d)
        self.drop = nn.Dropout(cfg["drop_rate"])
        self.register_buffer("tril", torch.tril(torch.ones(cfg["context_length"], cfg["context_length"])), persistent=False)

    def forward(self, x):
        b, n, d = x.shape
        q, k, v = (f(x).unflatten(-1, (self.h, -1)).transpose(1, 2) for f in (self.queries, self.keys, self.values))
        w = (q @ k.mT).div((d // self.h) ** 0.5).masked_fill(self.tril[:n, :n] == 0, -torch.inf)
        w = self.drop(w.softmax(-1))
        return self.proj((w @ v).transpose(1, 2).flatten(2))
