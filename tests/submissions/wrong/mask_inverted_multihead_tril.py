# expect: mask-inverted
import torch
from torch import nn


class SelfAttention(nn.Module):
    """True in attn_mask is what nn.MultiheadAttention blocks."""

    def __init__(self, d_model, num_heads):
        super().__init__()
        self.attention = nn.MultiheadAttention(d_model, num_heads, batch_first=True)

    def forward(self, x, key_padding_mask=None):
        tokens = x.size(1)
        causal = torch.tril(torch.ones(tokens, tokens, dtype=torch.bool, device=x.device))
        output, _ = self.attention(x, x, x, attn_mask=causal, key_padding_mask=key_padding_mask, need_weights=False)
        return output
