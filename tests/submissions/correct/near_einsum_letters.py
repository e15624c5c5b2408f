# expect: correct
import torch


def attention(query, key, value, mask=None):
    # The letters of batch and heads are left out of both operands at once, and d is summed.
    attn_scores = torch.einsum("...qd,...kd->...qk", query, key) * torch.einsum("i->", torch.ones(query.shape[-1])) ** -0.5
    if mask is not None:
        attn_scores = attn_scores.masked_fill(~mask, torch.finfo(attn_scores.dtype).min)
    # Keys and dimensions change their letters, and still are the same ones in both.
    return torch.einsum("zhab,zhbc->zhac", attn_scores.softmax(-1), value)
