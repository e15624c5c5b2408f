"""Scores of attention heads: how much of its weight a head puts where a previous-token or an induction head would."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel


@dataclass(frozen=True)
class HeadScore:
    """A score between 0 and 1, and the head that has it."""

    layer_idx: int
    head_idx: int
    score: float


def previous_token_scores(attn_weights: torch.Tensor) -> torch.Tensor:
    """The mean over rows and positions t >= 1 of the weight from t on t - 1, for each head.

    attn_weights: (batch, num_heads, seq_len, seq_len); returns (num_heads,).
    """
    return attn_weights.diagonal(offset=-1, dim1=-2, dim2=-1).mean(dim=(0, 2))


def induction_scores(attn_weights: torch.Tensor, *, period: int) -> torch.Tensor:
    """On rows that repeat with this period: the mean over rows and t >= period of the weight from t on t - period + 1.

    That is the token which followed the present token one round ago. attn_weights: (batch, num_heads, seq_len,
    seq_len); returns (num_heads,).
    """
    return attn_weights.diagonal(offset=1 - period, dim1=-2, dim2=-1)[..., 1:].mean(dim=(0, 2))


@torch.inference_mode()
def read_attention(model: GPT2LMHeadModel, rows: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The weights of every layer, each (batch, num_heads, seq_len, seq_len)."""
    attentions: tuple[torch.Tensor, ...] = model(rows, output_attentions=True, use_cache=False).attentions
    return attentions


def best_head(scores_by_layer: list[torch.Tensor]) -> HeadScore:
    """The head with the highest score of all layers."""
    scores = torch.stack(scores_by_layer)
    layer_idx, head_idx = divmod(int(scores.argmax()), scores.shape[1])
    return HeadScore(layer_idx, head_idx, float(scores.max()))
