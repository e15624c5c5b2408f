# expect: correct
import math
import torch
from torch import nn


def attention(query_states, key_states, value_states, attention_mask=None):
    attn_weights = torch.matmul(query_states, key_states.transpose(2, 3)) / math.sqrt(query_states.shape[-1])
    if attention_mask is not None:
        attn_weights = torch.where(attention_mask, attn_weights, torch.finfo(attn_weights.dtype).min)
    # upcast attention to fp32
    attn_weights = nn.functional.softmax(attn_weights, dim=-1, dtype=torch.float32).to(query_states.dtype)
    return torch.matmul(attn_weights, value_states), attn_weights
