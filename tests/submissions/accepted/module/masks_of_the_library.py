"""Two masks as torch.nn.MultiheadAttention takes them, one of the padding, and both handed on to it."""

from torch import nn


class SelfAttention(nn.Module):
    def __init__(self, d_model, nhead, dropout=0.1):
        super().__init__()
        self.self_attn = nn.MultiheadAttention(d_model, nhead, dropout=dropout)

    def forward(self, src, src_mask=None, src_key_padding_mask=None):
        mixed, _ = self.self_attn(src, src, value=src, attn_mask=src_mask, key_padding_mask=src_key_padding_mask)
        return mixed
