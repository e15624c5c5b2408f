# expect: no-return
import torch
from torch import nn


class SelfAttention(nn.Module):
    def __init__(self, d_model, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(d_model, d_model) for _ in range(4))

    def split(self, x):
        batch, seq, width = x.shape
        return x.view(batch, seq, self.num_heads, width // self.num_heads).transpose(1, 2)

    def mix(self, q, k, v):
        scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
        future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
        context = scores.masked_fill(future, float("-inf")).softmax(-1) @ v
        context = context.transpose(1, 2).flatten(2)

    def forward(self, x):
        q, k, v = (self.split(project(x)) for project in (self.q_proj, self.k_proj, self.v_proj))
        return self.out_proj(self.mix(q, k, v))
