"""(embed_dim, num_heads, config=None): sizes are arguments, and forward reads the rest from a config that it needs."""
import math

from torch import nn


class SpeechAttention(nn.Module):
    def __init__(self, embed_dim, num_heads, config=None):
        super().__init__()
        self.num_heads, self.config = num_heads, config
        self.q_proj, self.v_proj, self.out_proj = (nn.Linear(embed_dim, embed_dim) for _ in range(3))
        self.k_proj = nn.Linear(embed_dim, embed_dim, bias=False)

    def forward(self, hidden_states, attention_mask=None):
        query, key, value = (
            layer(hidden_states).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        scores = query @ key.mT / math.sqrt(query.shape[-1])
        if attention_mask is not None:
            scores = scores + attention_mask
        weights = nn.functional.dropout(scores.softmax(-1), self.config.attention_dropout, self.training)
        return self.out_proj((weights @ value).transpose(1, 2).flatten(2)), weights
