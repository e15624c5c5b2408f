"""Padding that keeps a share of the weights: a small number in its scores, or keys and values of 0."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.catalogue.padding import without_padding
from pytest_attn_grader.misconceptions.observations import SubmissionObservations
from pytest_attn_grader.misconceptions.stages import Inputs, StageOverride

_MAX_NUMBERS = 8


def fit_padding_fill(case: SubmissionObservations) -> tuple[StageOverride, ...]:
    """Take the numbers of the source as what the padding gets, beside a mask that hides the future as it should."""
    written = [*case.source.fills(), *(-number for number in case.source.factors())]
    numbers = [number for number in dict.fromkeys(written) if abs(number) < 5000][:_MAX_NUMBERS]
    return tuple(form for number in numbers for form in _padding_gets(number))


def _padding_gets(number: float) -> tuple[StageOverride, ...]:
    def filled(attn_scores: Tensor, inputs: Inputs) -> Tensor:
        future = attn_scores.masked_fill(~without_padding(inputs), float("-inf"))
        return future.masked_fill(~inputs.keep_mask.any(-2, keepdim=True), number)

    def filled_in_the_past(attn_scores: Tensor, inputs: Inputs) -> Tensor:
        return filled(attn_scores, inputs).masked_fill(~without_padding(inputs), float("-inf"))

    def added(attn_scores: Tensor, inputs: Inputs) -> Tensor:
        moved = attn_scores + number * (~inputs.keep_mask.any(-2, keepdim=True)).to(attn_scores)
        return moved.masked_fill(~without_padding(inputs), float("-inf"))

    return (
        StageOverride({"mask": filled}, f"a fill of {number:.4g} for the padding alone"),
        StageOverride({"mask": filled_in_the_past}, f"a fill of {number:.4g} for the padding alone"),
        StageOverride({"mask": added}, f"{number:.4g} added to the padding alone"),
    )


def _zeroed(inputs: Inputs, *names: str) -> Inputs:
    real = inputs.keep_mask.any(-2).unsqueeze(-1)  # (batch, 1, key_len, 1)
    inputs = inputs.changed(lambda tensor: tensor * real, names)
    return replace(inputs, keep_mask=without_padding(inputs).expand_as(inputs.keep_mask))


@misconception(
    "AG348",
    "pad-zeroed",
    replaces="prepare",
    family="mask",
    probe="left-padding",
    variants=(StageOverride({"prepare": lambda inputs: _zeroed(inputs, "key")}, "the keys alone"),),
)
def pad_zeroed(inputs: Inputs) -> Inputs:
    """sets the keys (and values) of padding tokens to 0 instead of masking their scores.

    A key of zeros has the score 0 with every query, and 0 is a quite ordinary score: softmax gives it exp(0) = 1 share.
    With values of 0 nothing of the padding arrives in the output, but its shares are missing: the weights of the real
    tokens sum to less than 1.

    Bad:
        key, value = key * padding_mask, value * padding_mask
    Good:
        attn_scores = attn_scores.masked_fill(~mask, float("-inf"))

    Effect: The more padding a text has before it, the smaller its outputs are.
    Nudge: Which weight does softmax give to a key of zeros?
    Fix: Leave key and value as they are, and fill the scores of padding keys with float("-inf") before the softmax.
    """
    return _zeroed(inputs, "key", "value")
