# expect: mask-inverted
from torch import nn


class Attention(nn.Module):
    """PyTorch's own module reads both masks as "True = may not attend"."""

    def __init__(self, embed_dim, num_heads, dropout=0.0):
        super().__init__()
        self.inner = nn.MultiheadAttention(embed_dim, num_heads, dropout=dropout, batch_first=True)

    def forward(self, query, key, value, key_padding_mask=None, attn_mask=None):
        return self.inner(query, key, value, key_padding_mask=key_padding_mask, attn_mask=attn_mask)[0]
