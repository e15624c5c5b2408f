"""A fused projection with two key/value heads for all query heads, and no argument that says so."""
# message: has 2 key/value heads of 64 features for 4 query heads \(qkv\.weight is \(512, 256\)\).* num_kv_heads
import torch.nn.functional as F
from torch import nn


class GroupedAttention(nn.Module):
    def __init__(self, d_model, num_heads):
        super().__init__()
        self.num_heads, self.d_k = num_heads, d_model // num_heads
        self.qkv, self.out = nn.Linear(d_model, d_model + 4 * self.d_k), nn.Linear(d_model, d_model)

    def forward(self, x):
        b, t, d = x.shape
        q, k, v = self.qkv(x).split([d, 2 * self.d_k, 2 * self.d_k], dim=-1)
        q, k, v = (each.view(b, t, -1, self.d_k).transpose(1, 2) for each in (q, k, v))
        k, v = (each.repeat_interleave(self.num_heads // 2, dim=1) for each in (k, v))
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(out.transpose(1, 2).reshape(b, t, d))
