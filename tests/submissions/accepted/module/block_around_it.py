"""A file with the attention and a layer around it, which has a residual connection and a norm in another class."""
import torch
from torch import nn


class SelfAttentionCore(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.heads = config.num_attention_heads
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key = nn.Linear(config.hidden_size, config.hidden_size)
        self.value = nn.Linear(config.hidden_size, config.hidden_size)
        self.dropout = nn.Dropout(config.attention_probs_dropout_prob)

    def forward(self, hidden_states, attention_mask=None):
        q, k, v = (
            layer(hidden_states).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        scores = q @ k.mT / q.shape[-1] ** 0.5
        if attention_mask is not None:
            scores = scores + attention_mask
        return (self.dropout(scores.softmax(-1)) @ v).transpose(1, 2).flatten(2)


class OutputWithNorm(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, hidden_states, residual):
        return self.norm(self.dense(hidden_states) + residual)


class EncoderAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.inside = SelfAttentionCore(config)
        self.output = OutputWithNorm(config)

    def forward(self, hidden_states, attention_mask=None):
        return self.output(self.inside(hidden_states, attention_mask), hidden_states)
