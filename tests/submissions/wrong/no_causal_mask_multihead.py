# expect: no-causal-mask
from torch import nn


class SelfAttention(nn.Module):
    """Passes the padding on, and no mask of the future."""

    def __init__(self, d_model, num_heads):
        super().__init__()
        self.attention = nn.MultiheadAttention(d_model, num_heads, batch_first=True)

    def forward(self, x, key_padding_mask=None):
        output, _ = self.attention(x, x, x, key_padding_mask=key_padding_mask, need_weights=False)
        return output
