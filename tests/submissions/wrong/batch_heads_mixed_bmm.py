# expect: batch-heads-mixed
import torch
from torch import nn


class MultiHead(nn.Module):
    def __init__(self, d_model, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.w_q, self.w_k, self.w_v, self.w_o = (nn.Linear(d_model, d_model) for _ in range(4))

    def fold(self, states):
        batch, seq, width = states.shape
        split = states.view(batch, seq, self.num_heads, width // self.num_heads).transpose(1, 2)
        return split.reshape(batch * self.num_heads, seq, -1)

    def forward(self, x, mask):
        batch, seq, width = x.shape
        query, key, value = self.fold(self.w_q(x)), self.fold(self.w_k(x)), self.fold(self.w_v(x))
        scores = torch.bmm(query, key.transpose(1, 2)) / (width // self.num_heads) ** 0.5
        blocked = ~mask.expand(batch, self.num_heads, seq, seq).reshape(-1, seq, seq)
        context = torch.bmm(scores.masked_fill(blocked, -1e9).softmax(-1), value)
        context = context.view(self.num_heads, batch, seq, -1).permute(1, 2, 0, 3)
        return self.w_o(context.reshape(batch, seq, width))
