"""One key/value head for all query heads, and no argument that says so."""
# message: has 1 key/value head of 64 features for 4 query heads \(W_k\.weight is \(64, 256\)\).* num_kv_heads
import torch.nn.functional as F
from torch import nn


class MultiQueryAttention(nn.Module):
    def __init__(self, d_model, num_heads):
        super().__init__()
        self.num_heads, self.d_k = num_heads, d_model // num_heads
        self.W_k, self.W_v = nn.Linear(d_model, self.d_k), nn.Linear(d_model, self.d_k)
        self.W_q, self.W_o = nn.Linear(d_model, d_model), nn.Linear(d_model, d_model)

    def forward(self, x):
        b, t, d = x.shape
        q = self.W_q(x).view(b, t, self.num_heads, self.d_k).transpose(1, 2)
        k, v = (proj(x)[:, None].expand(b, self.num_heads, t, self.d_k) for proj in (self.W_k, self.W_v))
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.W_o(out.transpose(1, 2).reshape(b, t, d))
