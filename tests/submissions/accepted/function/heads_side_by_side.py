"""multi_head(q, k, v, n_heads, mask) of (batch, seq, width): it splits the heads itself and folds them into the batch."""
import torch


def multi_head(q, k, v, n_heads: int, mask=None):
    batch, length, width = q.shape
    size = width // n_heads

    def fold(states):
        return states.reshape(batch, -1, n_heads, size).transpose(1, 2).reshape(batch * n_heads, -1, size)

    scores = torch.bmm(fold(q), fold(k).transpose(1, 2)) / size**0.5
    if mask is not None:
        mask = mask.expand(batch, n_heads, -1, -1).reshape(batch * n_heads, *mask.shape[-2:])
        scores = scores.masked_fill(~mask, float("-inf"))
    output = torch.bmm(torch.softmax(scores, dim=-1), fold(v))
    return output.reshape(batch, n_heads, length, size).transpose(1, 2).reshape(batch, length, width)
