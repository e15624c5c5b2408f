"""A key-padding mask of shape (batch, key) comes from outside, the causal triangle is its own."""
import torch


def attention(q, k, v, key_padding_mask=None):
    scores = q @ k.transpose(-1, -2) * q.size(-1) ** -0.5
    t_q, t_k = scores.shape[-2:]
    keep = torch.ones(t_q, t_k, dtype=torch.bool).tril(t_k - t_q)
    if key_padding_mask is not None:
        keep = keep & key_padding_mask[:, None, None, :]
    scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
    probs = scores.softmax(dim=-1)
    return probs @ v, probs
