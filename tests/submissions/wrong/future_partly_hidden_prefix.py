# expect: future-partly-hidden
import torch
from torch import nn
from torch.nn import functional as F


class PrefixAttention(nn.Module):
    def __init__(self, n_embd, n_head, prefix=4):
        super().__init__()
        self.n_head, self.prefix = n_head, prefix
        self.c_attn = nn.Linear(n_embd, 3 * n_embd)
        self.c_proj = nn.Linear(n_embd, n_embd)

    def forward(self, x):
        B, T, C = x.shape
        q, k, v = self.c_attn(x).split(C, dim=2)
        q, k, v = (z.view(B, T, self.n_head, C // self.n_head).transpose(1, 2) for z in (q, k, v))
        keep = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        keep[:, : self.prefix] = True
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=keep)
        return self.c_proj(y.transpose(1, 2).reshape(B, T, C))
