# expect: config-attribute
import torch
from torch import nn
from torch.nn import functional as F


class SelfAttention(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.heads = cfg.num_attention_heads
        self.to_qkv = nn.Linear(cfg.hidden_size, 3 * cfg.hidden_size)
        self.to_out = nn.Linear(cfg.hidden_size, cfg.hidden_size)
        self.sharpness = 1.0 + cfg.my_lab.sharpness_of_heads

    def forward(self, hidden_states):
        b, t, c = hidden_states.shape
        q, k, v = self.to_qkv(hidden_states).view(b, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        s = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
        s = s.masked_fill(torch.ones(t, t, dtype=torch.bool).triu(1), float("-inf"))
        return self.to_out((F.softmax(s, dim=-1) @ v).transpose(1, 2).reshape(b, t, c))
