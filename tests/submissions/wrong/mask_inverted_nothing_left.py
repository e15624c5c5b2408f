# expect: mask-inverted
import torch
from torch import nn


class SelfAttention(nn.Module):
    """Causal by itself; the mask of the padding is True where there is padding. Queries without any key give 0."""

    def __init__(self, width, num_heads, dropout=0.1):
        super().__init__()
        self.num_heads = num_heads
        self.to_qkv, self.to_out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, key_padding_mask=None):
        batch, seq, width = x.shape
        q, k, v = self.to_qkv(x).view(batch, seq, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-2, -1) * q.size(-1) ** -0.5
        blocked = torch.ones(seq, seq, dtype=torch.bool, device=x.device).triu(1).expand_as(scores)
        if key_padding_mask is not None:
            blocked = blocked | key_padding_mask[:, None, None, :]
        weights = scores.masked_fill(blocked, -torch.inf).softmax(dim=-1)
        weights = weights.masked_fill(blocked.all(dim=-1, keepdim=True), 0.0)
        return self.to_out((self.dropout(weights) @ v).transpose(1, 2).reshape(batch, seq, width))
