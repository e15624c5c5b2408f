"""transformers' Conv1D, stored (in, out), as in GPT-2; weights returned."""
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D


class GPT2Attention(nn.Module):
    def __init__(self, hidden_size, num_attention_heads):
        super().__init__()
        self.num_heads = num_attention_heads
        self.head_dim = hidden_size // num_attention_heads
        self.c_attn = Conv1D(3 * hidden_size, hidden_size)
        self.c_proj = Conv1D(hidden_size, hidden_size)

    def split(self, t):
        return t.view(*t.shape[:-1], self.num_heads, self.head_dim).permute(0, 2, 1, 3)

    def forward(self, hidden_states, attention_mask=None, output_attentions=False):
        query, key, value = map(self.split, self.c_attn(hidden_states).chunk(3, dim=-1))
        scores = query @ key.mT / self.head_dim**0.5
        if attention_mask is not None:
            scores = torch.where(attention_mask, scores, torch.finfo(scores.dtype).min)
        weights = scores.softmax(-1)
        merged = (weights @ value).permute(0, 2, 1, 3).flatten(2)
        out = self.c_proj(merged)
        return (out, weights) if output_attentions else out
