# expect: keys-from-query
from torch import nn
from torch.nn import functional as F


class CrossAttention(nn.Module):
    def __init__(self, embed_dim, num_heads):
        super().__init__()
        self.heads = num_heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(embed_dim, embed_dim) for _ in range(4))

    def forward(self, q, k, v, mask=None):
        b, t, width = q.shape
        queries, keys, values = (
            layer(states).view(b, -1, self.heads, width // self.heads).transpose(1, 2)
            for layer, states in ((self.q_proj, q), (self.k_proj, k), (self.v_proj, q))
        )
        mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
        return self.out_proj(mixed.transpose(1, 2).reshape(b, t, width))
