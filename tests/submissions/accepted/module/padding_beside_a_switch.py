"""forward(q, k, v, attention_mask): the mask is (batch, key), and a switch of the constructor hides the future."""
import torch
from torch import nn


def attend(query, key, value, attention_mask, hide_future):
    scores = torch.bmm(query, key.transpose(1, 2)) / query.shape[-1] ** 0.5
    scores = scores.masked_fill((attention_mask == 0).unsqueeze(1), -1e9)
    if hide_future:
        ahead = torch.ones(query.shape[1], key.shape[1], dtype=torch.bool, device=query.device).triu(1)
        scores = scores.masked_fill(ahead, -1e9)
    return torch.bmm(scores.softmax(dim=-1), value)


class MultiHead(nn.Module):
    def __init__(self, d_model, num_heads, mask_future=False):
        super().__init__()
        self.num_heads, self.mask_future = num_heads, mask_future
        self.for_query, self.for_key, self.for_value, self.for_output = (
            nn.Linear(d_model, d_model, bias=False) for _ in range(4)
        )

    def forward(self, q, k, v, attention_mask):
        parts = zip(
            *(
                layer(states).chunk(self.num_heads, dim=-1)
                for layer, states in ((self.for_query, q), (self.for_key, k), (self.for_value, v))
            ),
            strict=True,
        )
        heads = [attend(*part, attention_mask, self.mask_future) for part in parts]
        return self.for_output(torch.cat(heads, dim=-1))
