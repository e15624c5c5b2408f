"""The paper's 512 features and 8 heads, typed in where they are used; no argument and no attribute says them."""
import torch
from torch import nn


class PaperAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.query_layer, self.key_layer, self.value_layer = (nn.Linear(512, 512) for _ in range(3))
        self.output_layer = nn.Linear(512, 512)

    def forward(self, query, key, value, mask=None):
        def heads(states):
            return states.view(states.size(0), -1, 8, 64).permute(0, 2, 1, 3)

        query, key, value = (
            heads(self.query_layer(query)), heads(self.key_layer(key)), heads(self.value_layer(value))
        )
        logits = torch.einsum("bhqd,bhkd->bhqk", query, key) / 8
        if mask is not None:
            logits = logits.masked_fill(mask == 0, -1e20)
        context = torch.einsum("bhqk,bhkd->bqhd", logits.softmax(dim=-1), value)
        return self.output_layer(context.reshape(context.size(0), -1, 512))
