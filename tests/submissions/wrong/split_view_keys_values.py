# expect: split-view
from torch import nn


class Attention(nn.Module):
    def __init__(self, d_model, num_heads):
        super().__init__()
        self.num_heads, self.head_dim = num_heads, d_model // num_heads
        self.to_q, self.to_kv, self.to_out = nn.Linear(d_model, d_model), nn.Linear(d_model, 2 * d_model), nn.Linear(d_model, d_model)

    def forward(self, x, mask=None):
        batch, seq, width = x.shape
        key, value = self.to_kv(x).chunk(2, dim=-1)
        query = self.to_q(x).reshape(batch, seq, self.num_heads, self.head_dim).transpose(1, 2)
        key, value = (part.reshape(batch, self.num_heads, seq, self.head_dim) for part in (key, value))
        scores = query @ key.transpose(-2, -1) * self.head_dim**-0.5
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        return self.to_out((scores.softmax(dim=-1) @ value).transpose(1, 2).reshape(batch, seq, width))
