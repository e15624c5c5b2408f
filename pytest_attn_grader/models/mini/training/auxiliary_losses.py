"""Extra losses that draw single heads towards the tokens they shall attend to."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import nn


def head_weights(
    attention: nn.Module, hidden_states: torch.Tensor, rotation: tuple[torch.Tensor, torch.Tensor] | None, head_idx: int
) -> torch.Tensor:
    """Compute the attention weights of one head, (batch, seq_len, seq_len).

    Args:
        attention: the layer's attention module, of a GPT-2 or a Llama.
        hidden_states: its input, (batch, seq_len, hidden_size).
        rotation: cos and sin that a Llama rotates query and key by; None in a GPT-2.
        head_idx: which query head.
    """
    query, key = (
        _project_rotated(attention, hidden_states, rotation, head_idx)
        if rotation
        else _project(attention, hidden_states, head_idx)
    )
    scores: torch.Tensor = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    future = torch.ones_like(scores, dtype=torch.bool).triu(1)
    return scores.masked_fill(future, -torch.inf).softmax(-1)


def _project(attention: Any, hidden_states: torch.Tensor, head_idx: int) -> tuple[torch.Tensor, torch.Tensor]:
    head_dim, hidden_size = attention.head_dim, attention.embed_dim
    weight, bias = attention.c_attn.weight, attention.c_attn.bias
    of_query = slice(head_idx * head_dim, (head_idx + 1) * head_dim)
    of_key = slice(hidden_size + of_query.start, hidden_size + of_query.stop)
    return hidden_states @ weight[:, of_query] + bias[of_query], hidden_states @ weight[:, of_key] + bias[of_key]


def _project_rotated(
    attention: Any, hidden_states: torch.Tensor, rotation: tuple[torch.Tensor, torch.Tensor], head_idx: int
) -> tuple[torch.Tensor, torch.Tensor]:
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

    head_dim = attention.head_dim
    key_head = head_idx // attention.num_key_value_groups
    query = hidden_states @ attention.q_proj.weight[head_idx * head_dim : (head_idx + 1) * head_dim].T
    key = hidden_states @ attention.k_proj.weight[key_head * head_dim : (key_head + 1) * head_dim].T
    rotated_query, rotated_key = apply_rotary_pos_emb(query[:, None], key[:, None], *rotation)
    return rotated_query[:, 0], rotated_key[:, 0]


def nudge_loss(weights: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """The mean of -log of the weight of a head on its wanted keys, over the queries that have any."""
    on_wanted = (weights * wanted).sum(-1)[wanted.any(-1)]
    return -(on_wanted + 1e-6).log().sum() / max(1, len(on_wanted))


def find_followers(input_ids: torch.Tensor) -> torch.Tensor:
    """For every query, the keys that followed an earlier occurrence of its token: where an induction head looks."""
    followers = torch.zeros(*input_ids.shape, input_ids.shape[1], dtype=torch.bool)
    followers[:, :, 1:] = input_ids[:, :, None] == input_ids[:, None, :-1]
    return followers.tril()


def find_subjects(input_ids: torch.Tensor, sentence_ends: torch.Tensor, content: torch.Tensor) -> torch.Tensor:
    """For every query, the first content word of its sentence unless that is ahead: what the sentence is about."""
    is_end, is_content = torch.isin(input_ids, sentence_ends).long(), torch.isin(input_ids, content)
    sentence = is_end.cumsum(dim=1) - is_end
    same_sentence = sentence[:, :, None] == sentence[:, None]
    has_content_before = (same_sentence.tril(-1) & is_content[:, None]).any(dim=-1)
    is_first = is_content & ~has_content_before
    return (same_sentence & is_first[:, None]).tril()


def find_answers(input_ids: torch.Tensor, is_answer: torch.Tensor) -> torch.Tensor:
    """For every query whose next token is an answer: the keys where that token stands."""
    answers = torch.zeros(*input_ids.shape, input_ids.shape[1], dtype=torch.bool)
    answers[:, :-1] = (input_ids[:, 1:, None] == input_ids[:, None]) & is_answer[:, 1:, None]
    return answers.tril()
