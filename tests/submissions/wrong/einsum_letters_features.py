# expect: einsum-letters
import torch


def attention(query, key, value, mask=None):
    attn_scores = torch.einsum("bnqd,bnke->bnqk", query, key) / query.shape[-1] ** 0.5
    if mask is not None:
        attn_scores = attn_scores.masked_fill(~mask, float("-inf"))
    attn_weights = attn_scores.softmax(dim=-1)
    return torch.einsum("bnqk,bnkd->bnqd", attn_weights, value), attn_weights
