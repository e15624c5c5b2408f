"""attend(module, query, …) as an interface has it: sizes are read from the layer, and the output has the tokens first."""
import torch
from torch import nn


def repeat_heads(states, times):
    batch, heads, length, width = states.shape
    return states[:, :, None].expand(batch, heads, times, length, width).reshape(batch, heads * times, length, width)


def attend(module: nn.Module, query, key, value, attention_mask, scaling, dropout=0.0, **kwargs):
    key = repeat_heads(key, module.num_key_value_groups)
    value = repeat_heads(value, module.num_key_value_groups)
    scores = query @ key.mT * scaling
    if attention_mask is not None:
        scores = scores + attention_mask[..., : key.shape[-2]]
    weights = scores.softmax(dim=-1, dtype=torch.float32).to(query.dtype)
    weights = nn.functional.dropout(weights, p=dropout, training=module.training)
    return (weights @ value).transpose(1, 2).contiguous(), weights
