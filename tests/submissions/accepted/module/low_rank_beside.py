"""Two thin matrices beside every weight, as LoRA has them; the config says their rank."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class AdaptedLinear(nn.Module):
    def __init__(self, size_in: int, size_out: int, rank: int, alpha: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(size_out, size_in) / math.sqrt(size_in))
        self.bias = nn.Parameter(torch.zeros(size_out))
        self.lora_A = nn.Parameter(torch.randn(rank, size_in) / math.sqrt(size_in))
        self.lora_B = nn.Parameter(torch.randn(size_out, rank))
        self.factor = alpha / rank

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias) + self.factor * F.linear(F.linear(x, self.lora_A), self.lora_B)


class SelfAttention(nn.Module):
    def __init__(self, config) -> None:
        super().__init__()
        self.n_head = config.n_head
        self.c_attn = AdaptedLinear(config.n_embd, 3 * config.n_embd, config.lora_rank, config.lora_alpha)
        self.c_proj = AdaptedLinear(config.n_embd, config.n_embd, config.lora_rank, config.lora_alpha)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        query, key, value = (
            part.view(batch, tokens, self.n_head, -1).transpose(1, 2) for part in self.c_attn(x).chunk(3, dim=-1)
        )
        scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
        future = torch.ones(tokens, tokens, dtype=torch.bool, device=x.device).triu(1)
        heads = scores.masked_fill(future, float("-inf")).softmax(dim=-1) @ value
        return self.c_proj(heads.transpose(1, 2).reshape(batch, tokens, width))
