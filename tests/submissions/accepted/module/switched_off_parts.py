"""A config that has the parts of other models as well, each off: inverse layers, an upcast, a cap, a clip."""

import torch
from torch import nn


class CausalAttention(nn.Module):
    def __init__(self, config, layer_idx=None):
        super().__init__()
        self.heads = config.num_attention_heads
        self.by_layer = config.scale_attn_by_inverse_layer_idx
        self.upcast = config.reorder_and_upcast_attn
        self.cap, self.clip = config.attn_logit_softcapping, config.clip_qkv
        self.layer_idx = layer_idx
        self.c_attn = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.c_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.attn_dropout = nn.Dropout(config.attn_pdrop)

    def forward(self, hidden_states, attention_mask=None):
        qkv = self.c_attn(hidden_states)
        if self.clip is not None:
            qkv = qkv.clamp(-self.clip, self.clip)
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in qkv.chunk(3, dim=-1))
        if self.upcast:
            query, key = query.float(), key.float()
        scores = query @ key.mT / query.shape[-1] ** 0.5
        if self.by_layer:
            scores = scores / (self.layer_idx + 1)
        if self.cap is not None:
            scores = self.cap * torch.tanh(scores / self.cap)
        future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
        scores = scores.masked_fill(future, torch.finfo(scores.dtype).min)
        if attention_mask is not None:
            scores = scores + attention_mask
        weights = self.attn_dropout(scores.softmax(dim=-1))
        return self.c_proj((weights @ value).transpose(1, 2).flatten(2)), weights
