# expect: bool-as-additive
import torch
from torch import nn


class SelfAttention(nn.Module):
    """A mask of floats is added, and these are ones."""

    def __init__(self, d_model, num_heads):
        super().__init__()
        self.attention = nn.MultiheadAttention(d_model, num_heads, batch_first=True)

    def forward(self, x, key_padding_mask=None):
        tokens = x.size(1)
        causal = torch.triu(torch.ones(tokens, tokens, device=x.device), diagonal=1)
        output, _ = self.attention(x, x, x, attn_mask=causal, key_padding_mask=key_padding_mask, need_weights=False)
        return output
