"""attend(layer, …), as GPT-2 has it: the layer keeps the causal triangle and a module for dropout."""
import torch


def attend(layer, q, k, v, attention_mask=None):
    queries, keys = q.shape[-2], k.shape[-2]
    scores = torch.einsum("bhqd,bhkd->bhqk", q, k)
    if layer.scale_attn_weights:
        scores = scores / layer.head_dim**0.5
    past = layer.bias[:, :, keys - queries : keys, :keys]
    scores = torch.where(past, scores, torch.finfo(scores.dtype).min)
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = layer.attn_dropout(scores.softmax(dim=-1).type_as(v))
    return torch.einsum("bhqk,bhkd->bqhd", weights, v), weights
