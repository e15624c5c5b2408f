# expect: projection-transposed
import torch
from torch import nn
from torch.nn import functional as F


class SelfAttention(nn.Module):
    def __init__(self, d_model, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.q_proj = nn.Linear(d_model, d_model)
        self.k_proj = nn.Linear(d_model, d_model)
        self.v_proj = nn.Linear(d_model, d_model)
        self.o_proj = nn.Linear(d_model, d_model)

    def forward(self, x, mask=None):
        split = (*x.shape[:2], self.num_heads, -1)
        q, k = self.q_proj(x).view(split).transpose(1, 2), self.k_proj(x).view(split).transpose(1, 2)
        v = (torch.matmul(x, self.v_proj.weight) + self.v_proj.bias).view(split).transpose(1, 2)
        scores = q @ k.transpose(-1, -2) * q.size(-1) ** -0.5
        if mask is not None:
            scores = scores.masked_fill(mask == 0, float("-inf"))
        return self.o_proj((F.softmax(scores, dim=-1) @ v).transpose(1, 2).flatten(2))
