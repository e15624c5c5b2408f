"""All heads of all examples stacked for torch.bmm, so the mask has two dimensions, (query, key); dropout on the weights."""
import torch
from torch import nn


class StackedAttention(nn.Module):
    def __init__(self, width, num_heads, dropout=0.1):
        super().__init__()
        self.num_heads = num_heads
        self.to_q, self.to_k, self.to_v, self.to_out = (nn.Linear(width, width) for _ in range(4))
        self.dropout = nn.Dropout(dropout)

    def stack(self, x):
        batch, seq, width = x.shape
        x = x.view(batch, seq, self.num_heads, width // self.num_heads).transpose(1, 2)
        return x.reshape(batch * self.num_heads, seq, width // self.num_heads)

    def forward(self, query, key, value, mask=None):
        batch, seq, width = query.shape
        q, k, v = self.stack(self.to_q(query)), self.stack(self.to_k(key)), self.stack(self.to_v(value))
        scores = torch.bmm(q, k.transpose(1, 2)) / q.size(-1) ** 0.5
        if mask is not None:
            scores = scores.masked_fill(mask == 0, -1e9)
        heads = torch.bmm(self.dropout(scores.softmax(dim=-1)), v)
        return self.to_out(heads.view(batch, self.num_heads, seq, -1).transpose(1, 2).reshape(batch, seq, width))
