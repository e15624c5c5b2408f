"""Products of two tensors that sum an axis they should share, or one that should stay: wrong letters in einsum."""

from __future__ import annotations

from torch import Tensor

from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.stages import Inputs, StageOverride, dot_products


def _examples_summed(inputs: Inputs) -> Tensor:
    attn_scores = dot_products(inputs)
    return attn_scores.sum(0, keepdim=True).expand_as(attn_scores)


def _keys_of_all_examples(inputs: Inputs) -> Tensor:
    return inputs.query @ inputs.key.sum(0, keepdim=True).transpose(-2, -1)


def _values_of_all_examples(attn_weights: Tensor, inputs: Inputs) -> Tensor:
    return attn_weights @ inputs.value.sum(0, keepdim=True)


def _keys_apart(attn_weights: Tensor, inputs: Inputs) -> Tensor:
    return attn_weights.sum(-1, keepdim=True) * inputs.value.sum(-2, keepdim=True)


@misconception(
    "AG427",
    "einsum-letters",
    replaces="score",
    family="wiring",
    note="the dimensions of query and key are summed apart",
    variants=(
        StageOverride({"combine": _keys_apart}, "weights and values are summed over the keys apart"),
        StageOverride({"score": _examples_summed}, "the scores are summed over the batch"),
        StageOverride({"score": _keys_of_all_examples}, "the keys are summed over the batch"),
        StageOverride({"combine": _values_of_all_examples}, "the values are summed over the batch"),
    ),
)
def einsum_letters(inputs: Inputs) -> Tensor:
    """sums an axis of each tensor by itself, or one that should stay, as wrong letters in einsum do.

    In einsum an axis that two tensors share has one letter: their numbers are multiplied pair by pair, and summed where
    the letter is missing in the result. With d in query and e in key each is summed by itself, and the product of two
    sums says nothing of how well query and key fit. An axis that should stay, as the batch, needs its letter in both
    tensors and in the result.

    Bad:
        attn_scores = torch.einsum("bhid,bhje->bhij", query, key)
    Good:
        attn_scores = torch.einsum("bhid,bhjd->bhij", query, key)

    Effect: The weights say nothing of which keys fit; summed over the batch, texts influence each other.
    Nudge: Which letters do your two tensors share, and which of all letters are missing after the arrow?
    Fix: Give an axis that belongs together the same letter, and keep batch, heads and queries after the arrow.
    """
    return inputs.query.sum(-1, keepdim=True) * inputs.key.sum(-1).unsqueeze(-2)
