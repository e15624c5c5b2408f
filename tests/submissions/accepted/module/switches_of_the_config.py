"""A config with switches of unusual names, cfg.naive and cfg.collect_maps: what is only tested is a switch, and off."""
import torch
import torch.nn as nn
import torch.nn.functional as F


class CausalSelfAttention(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.n_head, self.naive = cfg.n_head, cfg.naive
        self.c_attn = nn.Linear(cfg.n_embd, 3 * cfg.n_embd)
        self.c_proj = nn.Linear(cfg.n_embd, cfg.n_embd)
        self.gate = nn.Linear(cfg.n_embd, cfg.n_embd) if cfg.gated_output and not cfg.tiny else None
        self.cfg = cfg
        self.maps = []

    def forward(self, x):
        B, T, C = x.shape
        q, k, v = self.c_attn(x).view(B, T, 3, self.n_head, C // self.n_head).permute(2, 0, 3, 1, 4)
        if self.naive or self.cfg.collect_maps:
            scores = q @ k.transpose(-2, -1) / (C // self.n_head) ** 0.5
            future = torch.ones(T, T, dtype=torch.bool, device=x.device).triu(1)
            weights = F.softmax(scores.masked_fill(future, float("-inf")), dim=-1)
            self.maps.append(weights)
            y = weights @ v
        else:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        y = y.transpose(1, 2).reshape(B, T, C)
        if self.gate is not None:
            y = y * torch.sigmoid(self.gate(x))
        return self.c_proj(y)
