# expect: residual-inside
from torch import nn


class SelfAttention(nn.Module):
    def __init__(self, d_model, n_heads):
        super().__init__()
        self.n_heads = n_heads
        self.qkv = nn.Linear(d_model, 3 * d_model)
        self.out = nn.Linear(d_model, d_model)
        self.norm = nn.LayerNorm(d_model)

    def forward(self, x, mask=None):
        batch, seq, width = x.shape
        heads = (batch, seq, self.n_heads, width // self.n_heads)
        query, key, value = (part.view(heads).transpose(1, 2) for part in self.qkv(self.norm(x)).chunk(3, dim=-1))
        scores = query @ key.transpose(-2, -1) / (width // self.n_heads) ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        output = self.out((scores.softmax(dim=-1) @ value).transpose(1, 2).reshape(batch, seq, width))
        return x + output
