# expect: correct
import torch
from torch import nn


class CausalSelfAttention(nn.Module):
    def __init__(self, d_model, num_heads):
        nn.Module.__init__(self)
        self.num_heads = num_heads
        self.qkv = nn.Linear(d_model, 3 * d_model)
        self.out = nn.Linear(d_model, d_model)

    def forward(self, x):
        batch, seq, width = x.shape
        q, k, v = self.qkv(x).view(batch, seq, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        scores = q @ k.mT / q.shape[-1] ** 0.5
        future = torch.ones(seq, seq, dtype=torch.bool, device=x.device).triu(1)
        context = scores.masked_fill(future, float("-inf")).softmax(-1) @ v
        return self.out(context.transpose(1, 2).reshape(batch, seq, width))
