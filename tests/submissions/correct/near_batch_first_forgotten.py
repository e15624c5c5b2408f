# expect: correct
import torch
from torch import nn


class CausalAttention(nn.Module):
    def __init__(self, embed_dim, num_heads):
        super().__init__()
        self.attention = nn.MultiheadAttention(embed_dim, num_heads)

    def forward(self, x):
        batch, seq_len, _ = x.shape
        blocked = torch.ones(seq_len, seq_len, dtype=torch.bool).triu(1)
        x = x.transpose(0, 1)
        output, weights = self.attention(x, x, x, attn_mask=blocked, average_attn_weights=False)
        return output.transpose(0, 1), weights
