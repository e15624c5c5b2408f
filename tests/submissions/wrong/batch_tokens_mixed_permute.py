# expect: batch-tokens-mixed
import math

from torch import nn


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, num_heads):
        super().__init__()
        self.num_heads, self.d_head = num_heads, d_model // num_heads
        self.W_q, self.W_k, self.W_v, self.W_o = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, x, mask=None):
        N, L, E = x.shape
        q, k, v = (W(x).view(N, L, self.num_heads, self.d_head).transpose(1, 2) for W in (self.W_q, self.W_k, self.W_v))
        energy = q @ k.transpose(-2, -1) / math.sqrt(self.d_head)
        if mask is not None:
            energy = energy.masked_fill(~mask, -1e9)
        heads = energy.softmax(dim=-1) @ v
        return self.W_o(heads.permute(2, 0, 1, 3).contiguous().view(N, L, E))
