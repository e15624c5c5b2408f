"""MultiHeadAttention(E_q, E_k, E_v, E_total, nheads), and unflatten: the names of a tutorial."""
import torch
from torch import nn
import torch.nn.functional as F


class MultiHeadAttention(nn.Module):
    def __init__(self, E_q, E_k, E_v, E_total, nheads, dropout=0.0, bias=True):
        super().__init__()
        self.nheads, self.dropout = nheads, dropout
        self.q_proj = nn.Linear(E_q, E_total, bias=bias)
        self.k_proj = nn.Linear(E_k, E_total, bias=bias)
        self.v_proj = nn.Linear(E_v, E_total, bias=bias)
        self.out_proj = nn.Linear(E_total, E_q, bias=bias)

    def forward(self, query, key, value, attn_mask=None, is_causal=False):
        q, k, v = (f(x).unflatten(-1, [self.nheads, -1]).transpose(1, 2)
                   for f, x in ((self.q_proj, query), (self.k_proj, key), (self.v_proj, value)))
        p = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask, dropout_p=p, is_causal=is_causal)
        return self.out_proj(y.transpose(1, 2).flatten(-2))
