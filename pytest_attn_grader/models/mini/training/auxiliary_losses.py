"""Extra losses that draw single heads towards what they shall become: what is wanted of a head, and how far it is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel


def head_weights(model: GPT2LMHeadModel, normed: torch.Tensor, *, layer_idx: int, head_idx: int) -> torch.Tensor:
    """The attention weights of a head, from its layer's normed input; (batch, seq_len, seq_len)."""
    attention: Any = model.transformer.h[layer_idx].attn
    head_dim, hidden_size = attention.head_dim, attention.embed_dim
    weight, bias = attention.c_attn.weight, attention.c_attn.bias
    of_query = slice(head_idx * head_dim, (head_idx + 1) * head_dim)
    of_key = slice(hidden_size + of_query.start, hidden_size + of_query.stop)
    query = normed @ weight[:, of_query] + bias[of_query]
    key = normed @ weight[:, of_key] + bias[of_key]
    scores: torch.Tensor = query @ key.transpose(-2, -1) / math.sqrt(head_dim)
    future = torch.ones_like(scores, dtype=torch.bool).triu(1)
    return scores.masked_fill(future, -torch.inf).softmax(-1)


def nudge_loss(weights: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """How far a head is from what is wanted: the mean of -log of its weight on wanted keys, over queries with any."""
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


def find_answers(input_ids: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
    """For every query whose next token is told: the keys where that token stands."""
    answers = torch.zeros(*input_ids.shape, input_ids.shape[1], dtype=torch.bool)
    answers[:, :-1] = (input_ids[:, 1:, None] == input_ids[:, None]) & told[:, 1:, None]
    return answers.tril()
