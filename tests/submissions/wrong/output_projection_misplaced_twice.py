# expect: output-projection-misplaced
import torch
from torch import nn


class MultiHeadAttention(nn.Module):
    def __init__(self, hidden_size, num_heads):
        super().__init__()
        self.num_heads, self.head_dim = num_heads, hidden_size // num_heads
        self.qkv = nn.Linear(hidden_size, 3 * hidden_size)
        self.dense = nn.Linear(hidden_size, hidden_size)

    def attend(self, q, k, v, mask):
        scores = torch.einsum("bhid,bhjd->bhij", q, k) / self.head_dim**0.5
        if mask is not None:
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        context = torch.einsum("bhij,bhjd->bihd", scores.softmax(dim=-1), v)
        return self.dense(context.flatten(2))

    def forward(self, hidden_states, mask=None):
        batch, seq, _ = hidden_states.shape
        q, k, v = self.qkv(hidden_states).chunk(3, dim=-1)
        q, k, v = (states.view(batch, seq, self.num_heads, -1).transpose(1, 2) for states in (q, k, v))
        return self.dense(self.attend(q, k, v, mask))
