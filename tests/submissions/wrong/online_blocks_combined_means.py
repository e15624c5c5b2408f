# expect: online-blocks-combined
import math

import torch
from torch import nn


class BlockAttention(nn.Module):
    """Averages the outputs of the blocks, as if all of them had the same sum of exponentials."""

    def __init__(self, config):
        super().__init__()
        self.num_heads = config.n_head
        self.qkv = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.proj = nn.Linear(config.n_embd, config.n_embd)
        self.block_len = 8

    def forward(self, x, attention_mask=None):
        batch, tokens, width = x.shape
        q, k, v = self.qkv(x).view(batch, tokens, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        keep = torch.ones(tokens, tokens, dtype=torch.bool, device=x.device).tril()[None, None]
        if attention_mask is not None:
            keep = keep & attention_mask[:, None, None, :].bool()
        parts = []
        for start in range(0, tokens, self.block_len):
            stop = start + self.block_len
            scores = q @ k[:, :, start:stop].transpose(-2, -1) / math.sqrt(q.shape[-1])
            scores = scores.masked_fill(~keep[..., start:stop], torch.finfo(x.dtype).min)
            parts.append(torch.softmax(scores, dim=-1) @ v[:, :, start:stop])
        out = torch.stack(parts).mean(dim=0)
        return self.proj(out.transpose(1, 2).reshape(batch, tokens, width))
