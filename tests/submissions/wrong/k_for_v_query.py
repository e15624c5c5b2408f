# expect: k-for-v
import torch
from torch import nn


class MultiHeadAttention(nn.Module):
    def __init__(self, d_out, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.W_query, self.W_key, self.W_value = (nn.Linear(d_out, d_out) for _ in range(3))
        self.out_proj = nn.Linear(d_out, d_out)

    def forward(self, x):
        b, num_tokens, d_out = x.shape
        queries, keys, values = (
            layer(x).view(b, num_tokens, self.num_heads, -1).transpose(1, 2)
            for layer in (self.W_query, self.W_key, self.W_value)
        )
        causal = torch.ones(num_tokens, num_tokens, dtype=torch.bool).triu(1)
        scores = (queries @ keys.transpose(2, 3)).masked_fill(causal, -torch.inf)
        weights = torch.softmax(scores / keys.shape[-1] ** 0.5, dim=-1)
        context = (weights @ queries).transpose(1, 2).reshape(b, num_tokens, d_out)
        return self.out_proj(context)
