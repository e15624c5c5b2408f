# expect: float-mask-promote
import math

import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.heads = config.n_head
        self.q, self.k, self.v, self.o = (nn.Linear(config.n_embd, config.n_embd) for _ in range(4))

    def forward(self, x, attention_mask):
        B, S, H = x.shape
        q, k, v = (layer(x).view(B, S, self.heads, -1).transpose(1, 2) for layer in (self.q, self.k, self.v))
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
        past = torch.ones(S, S, dtype=torch.bool, device=x.device).tril()
        scores = torch.where(past, scores, torch.tensor(torch.finfo(scores.dtype).min, device=x.device))
        kept = attention_mask[:, None, None, :].float()
        scores = scores + (1.0 - kept) * -1e9
        return self.o((scores.softmax(-1) @ v).transpose(1, 2).reshape(B, S, H))
