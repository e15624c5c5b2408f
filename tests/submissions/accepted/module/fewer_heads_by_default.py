"""num_kv_heads=None stands for a quarter of the heads; the mask is 1 and 0, and is taken from 1."""
import torch
from torch import nn


class GroupedAttention(nn.Module):
    def __init__(self, hidden_size: int, num_heads: int, num_kv_heads: int = None, dropout: float = 0.1):
        super().__init__()
        self.num_heads, self.num_kv_heads = num_heads, num_kv_heads or num_heads // 4
        self.head_dim = hidden_size // num_heads
        self.q_proj = nn.Linear(hidden_size, hidden_size)
        self.k_proj = nn.Linear(hidden_size, self.num_kv_heads * self.head_dim)
        self.v_proj = nn.Linear(hidden_size, self.num_kv_heads * self.head_dim)
        self.o_proj = nn.Linear(hidden_size, hidden_size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden_states, attention_mask=None):
        split = lambda states: states.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
        query = split(self.q_proj(hidden_states))
        times = self.num_heads // self.num_kv_heads
        key = split(self.k_proj(hidden_states)).repeat_interleave(times, dim=1)
        value = split(self.v_proj(hidden_states)).repeat_interleave(times, dim=1)
        scores = query @ key.mT * self.head_dim**-0.5
        if attention_mask is not None:
            scores = scores + (1.0 - attention_mask) * -10000.0
        output = self.dropout(scores.softmax(dim=-1)) @ value
        return self.o_proj(output.transpose(1, 2).flatten(2))
