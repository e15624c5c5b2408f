"""A mask is used where it has two dimensions, (batch, key), and passed over where it has more."""
import torch
from torch import nn


class SelfAttention(nn.Module):
    def __init__(self, d_model, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, x, attention_mask=None):
        batch, seq, width = x.shape
        q, k, v = (
            proj(x).view(batch, seq, self.num_heads, -1).transpose(1, 2)
            for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        scores = q @ k.transpose(-2, -1) * q.size(-1) ** -0.5
        scores = scores.masked_fill(torch.ones(seq, seq, dtype=torch.bool).triu(1), -1e9)
        if attention_mask is not None and attention_mask.dim() == 2:
            scores = scores.masked_fill(attention_mask[:, None, None, :] == 0, -1e9)
        weights = scores.softmax(dim=-1)
        return self.out_proj((weights @ v).transpose(1, 2).reshape(batch, seq, width)), weights
