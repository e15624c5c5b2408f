"""The sizes of a head are called key_query_second_dim and value_second_dim."""
from torch import nn
from torch.nn import functional as F


class CausalAttention(nn.Module):
    def __init__(self, embed_dim, num_heads, key_query_second_dim, value_second_dim):
        super().__init__()
        self.num_heads = num_heads
        self.key = nn.Linear(embed_dim, num_heads * key_query_second_dim, bias=False)
        self.query = nn.Linear(embed_dim, num_heads * key_query_second_dim, bias=False)
        self.value = nn.Linear(embed_dim, num_heads * value_second_dim, bias=False)
        self.output = nn.Linear(num_heads * value_second_dim, embed_dim, bias=False)

    def forward(self, x):
        b, n, d = x.shape
        q, k, v = (p(x).view(b, n, self.num_heads, -1).transpose(1, 2) for p in (self.query, self.key, self.value))
        return self.output(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(b, n, -1))
