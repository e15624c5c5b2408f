"""The width is an argument, and 2 heads of 24 features are typed in as attributes: only a width of 48 fits them."""
import torch
from torch import nn


class DecoderAttention(nn.Module):
    def __init__(self, hidden_size):
        super().__init__()
        self.hidden_size, self.num_heads, self.head_dim = hidden_size, 2, 24
        self.q_proj = nn.Linear(hidden_size, hidden_size, bias=False)
        self.k_proj = nn.Linear(hidden_size, hidden_size, bias=False)
        self.v_proj = nn.Linear(hidden_size, hidden_size, bias=False)
        self.o_proj = nn.Linear(hidden_size, hidden_size, bias=False)

    def forward(self, hidden_states, attention_mask=None):
        batch, length, _ = hidden_states.size()
        split = lambda states: states.view(batch, length, self.num_heads, self.head_dim).transpose(1, 2)
        query, key, value = (split(project(hidden_states)) for project in (self.q_proj, self.k_proj, self.v_proj))
        scores = query @ key.transpose(2, 3) / self.head_dim**0.5
        if attention_mask is not None:
            scores = scores + attention_mask
        output = torch.softmax(scores, dim=-1) @ value
        return self.o_proj(output.transpose(1, 2).reshape(batch, length, self.hidden_size))
