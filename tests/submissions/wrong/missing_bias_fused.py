# expect: missing-bias
import torch
from torch import nn
from torch.nn import functional as F


class SelfAttention(nn.Module):
    def __init__(self, n_embd, n_head):
        super().__init__()
        self.n_head = n_head
        self.c_attn = nn.Linear(n_embd, 3 * n_embd)
        self.c_proj = nn.Linear(n_embd, n_embd)

    def forward(self, x):
        batch, length, width = x.shape
        fused = x @ self.c_attn.weight.T
        q, k, v = (part.view(batch, length, self.n_head, -1).transpose(1, 2) for part in fused.split(width, dim=-1))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(torch.cat([mixed[:, head] for head in range(self.n_head)], dim=-1))
