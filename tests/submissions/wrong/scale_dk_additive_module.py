# expect: scale-dk
from torch import nn


class SelfAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.heads, self.width = config.num_attention_heads, config.hidden_size
        self.query, self.key, self.value, self.dense = (nn.Linear(self.width, self.width) for _ in range(4))

    def forward(self, hidden_states, attention_mask=None):
        batch, seq, _ = hidden_states.shape

        def split(states):
            return states.view(batch, seq, self.heads, self.width // self.heads).permute(0, 2, 1, 3)

        query, key, value = (split(each(hidden_states)) for each in (self.query, self.key, self.value))
        scores = query @ key.transpose(-1, -2) / query.size(-1)
        if attention_mask is not None:
            scores += attention_mask[:, :, :, :seq]
        return self.dense((scores.softmax(-1) @ value).permute(0, 2, 1, 3).reshape(batch, seq, self.width))
