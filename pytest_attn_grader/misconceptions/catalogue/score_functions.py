"""Functions that are applied to the scores although attention has none there."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.stages import Inputs, StageOverride, divide_by_root, fill_blocked

Function = Callable[[Tensor], Tensor]


def _before_the_mask(function: Function, note: str) -> StageOverride:
    def scale(attn_scores: Tensor, inputs: Inputs) -> Tensor:
        return function(divide_by_root(attn_scores, inputs))

    return StageOverride({"scale": scale}, note)


def _before_the_scaling(function: Function, note: str) -> StageOverride:
    def scale(attn_scores: Tensor, inputs: Inputs) -> Tensor:
        return divide_by_root(function(attn_scores), inputs)

    return StageOverride({"scale": scale}, f"{note}, before the scaling")


def _after_the_mask(function: Function, note: str) -> StageOverride:
    def mask(attn_scores: Tensor, inputs: Inputs) -> Tensor:
        return function(fill_blocked(attn_scores, inputs))

    return StageOverride({"mask": mask}, f"{note}, blocked ones too")


def _rounded_down(attn_scores: Tensor) -> Tensor:
    return attn_scores.floor()


def _divided_to_whole_numbers(attn_scores: Tensor) -> Tensor:
    """The same forwards; its backward pass raises an exception."""
    return attn_scores // 1


def _leaky(attn_scores: Tensor) -> Tensor:
    return F.leaky_relu(attn_scores, 0.2)


_FUNCTIONS: tuple[tuple[Function, str], ...] = (
    (torch.abs, "abs(scores)"),
    (torch.neg, "-scores"),
    (torch.square, "scores squared"),
    (F.leaky_relu, "leaky_relu(scores)"),
    (_leaky, "leaky_relu(scores, 0.2)"),
    (F.gelu, "gelu(scores)"),
    (F.silu, "silu(scores)"),
    (torch.sigmoid, "sigmoid(scores)"),
    (torch.exp, "exp(scores)"),
    (_rounded_down, "scores rounded down"),
    (_divided_to_whole_numbers, "scores rounded down by //"),
    (torch.round, "scores rounded"),
)


@misconception(
    "AG345",
    "function-on-scores",
    replaces="scale",
    family="scale",
    fill_matters=True,
    variants=(
        *(_before_the_mask(function, note) for function, note in _FUNCTIONS),
        *(_before_the_scaling(function, note) for function, note in _FUNCTIONS[2:] if function is not F.leaky_relu),
        *(_after_the_mask(function, note) for function, note in ((F.relu, "relu(scores)"), *_FUNCTIONS[:3])),
    ),
)
def function_on_scores(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """changes the scores by a function that attention does not have, relu for instance.

    Between the product of query and key and the softmax there is one division, by the square root of head_dim, and the
    mask. Scores are positive and negative, and softmax makes positive weights of both. relu and abs take the sign
    away, a minus turns the order round, and // rounds down to whole numbers, through which no gradient comes back.

    Bad:
        attn_scores = F.relu(query @ key.transpose(-2, -1) / math.sqrt(head_dim))
    Good:
        attn_scores = query @ key.transpose(-2, -1) / math.sqrt(head_dim)

    Effect: Keys that fit little get as much weight as others, or more.
    Nudge: What happens to a score of -3 before the softmax?
    Fix: Pass the scaled and masked scores to softmax as they are.
    """
    return F.relu(divide_by_root(attn_scores, inputs))
