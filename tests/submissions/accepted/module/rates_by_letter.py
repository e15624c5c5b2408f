"""CausalSelfAttn(d_model, n_head, attn_p, resid_p): required probabilities of dropout, called p."""
import torch
from torch import nn


class CausalSelfAttn(nn.Module):
    def __init__(self, d_model: int, n_head: int, attn_p: float, resid_p: float):
        super().__init__()
        self.nh, self.dk = n_head, d_model // n_head
        self.qkv, self.proj = nn.Linear(d_model, 3 * d_model, bias=False), nn.Linear(d_model, d_model, bias=False)
        self.attn_drop, self.resid_drop = nn.Dropout(attn_p), nn.Dropout(resid_p)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        B, T, C = x.shape
        q, k, v = (part.view(B, T, self.nh, self.dk).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=-1))
        future = torch.ones(T, T, dtype=torch.bool, device=x.device).triu(1)
        att = (q @ k.transpose(-2, -1) / self.dk**0.5).masked_fill(future, float("-inf"))
        y = self.attn_drop(att.softmax(dim=-1)) @ v
        return self.resid_drop(self.proj(y.transpose(1, 2).reshape(B, T, C)))
