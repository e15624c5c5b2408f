# expect: view-not-contiguous
from torch import nn


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)

    def forward(self, x, mask=None):
        batch, seq, width = x.shape

        def split(states):
            return states.view(batch, seq, self.num_heads, width // self.num_heads).transpose(1, 2)

        query, key, value = split(self.w_q(x)), split(self.w_k(x)), split(self.w_v(x))
        scores = query @ key.transpose(-2, -1) / query.size(-1) ** 0.5
        if mask is not None:
            scores = scores.masked_fill(mask == 0, -1e9)
        context = scores.softmax(dim=-1) @ value
        return self.w_o(context.transpose(1, 2).view(batch, seq, width))
