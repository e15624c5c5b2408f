"""The softmax: over the keys, once, and without overflow."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.observations import SubmissionObservations
from pytest_attn_grader.misconceptions.stages import Inputs, StageOverride, exponentials


def _sum_over(axis: int | None) -> StageOverride:
    """By hand, below each row's maximum, and divided by the sum over another axis; None for the sum of all."""

    def normalise(attn_scores: Tensor, _: Inputs) -> Tensor:
        numerators = exponentials(attn_scores)
        return numerators / (numerators.sum() if axis is None else numerators.sum(dim=axis, keepdim=True))

    return StageOverride({"normalise": normalise}, "below each row's maximum")


@misconception(
    "AG201",
    "softmax-query-axis",
    replaces="normalise",
    family="softmax",
    fill_matters=True,
    variants=(_sum_over(-2),),
)
def softmax_query_axis(attn_scores: Tensor, _: Inputs) -> Tensor:
    """takes the softmax over the queries instead of the keys.

    Scores have the shape (batch, heads, queries, keys). Each *query* distributes one unit of attention over the keys,
    so the softmax runs along the last axis. Along the axis before it, the columns sum to 1 and the rows do not: a
    token receives attention in competition with other tokens' queries, later ones included.

    Bad:
        attn_weights = attn_scores.softmax(dim=-2)
    Good:
        attn_weights = attn_scores.softmax(dim=-1)

    Effect: Rows no longer sum to 1, and what an early token sees depends on later tokens.
    Nudge: Sum your weights over each axis. Which axis gives 1?
    Fix: Use dim=-1, the keys.
    """
    return attn_scores.softmax(dim=-2)


@misconception(
    "AG202",
    "softmax-head-axis",
    replaces="normalise",
    family="softmax",
    fill_matters=True,
    variants=(_sum_over(1),),
)
def softmax_head_axis(attn_scores: Tensor, _: Inputs) -> Tensor:
    """takes the softmax over the heads instead of the keys.

    With dim=1, or with nn.Softmax() without a dim, softmax runs over axis 1 of a 4-D tensor, and that axis is the
    heads. Every cell is then shared out among the heads; a masked cell is blocked in every head, so each head
    gets an equal share of it and the mask has no effect there.

    Bad:
        attn_weights = nn.Softmax(dim=1)(attn_scores)
    Good:
        attn_weights = nn.Softmax(dim=-1)(attn_scores)

    Effect: The heads compete with each other, and future tokens are seen.
    Nudge: Sum your weights over each axis. Which axis gives 1?
    Fix: Name the axis: softmax(attn_scores, dim=-1).
    """
    return attn_scores.softmax(dim=1)


@misconception("AG203", "softmax-batch-axis", replaces="normalise", family="softmax", fill_matters=True)
def softmax_batch_axis(attn_scores: Tensor, _: Inputs) -> Tensor:
    """takes the softmax over the examples of the batch instead of the keys.

    With dim=0 the weights of one text depend on the other texts that happen to be in the same batch. With a single
    example every weight is 1.

    Bad:
        attn_weights = attn_scores.softmax(dim=0)
    Good:
        attn_weights = attn_scores.softmax(dim=-1)

    Effect: The answer to a text changes with the texts beside it.
    Nudge: Run one example alone and look at the weights.
    Fix: Use dim=-1, the keys.
    """
    return attn_scores.softmax(dim=0)


def _softmax_from(first_axis: int) -> StageOverride:
    def normalise(attn_scores: Tensor, _: Inputs) -> Tensor:
        return attn_scores.flatten(first_axis).softmax(dim=-1).view_as(attn_scores)

    return StageOverride({"normalise": normalise}, "heads too" if first_axis else "heads and examples too")


@misconception(
    "AG204",
    "softmax-flat",
    replaces="normalise",
    family="softmax",
    variants=(_softmax_from(1), _softmax_from(0), _sum_over(None)),
)
def softmax_flat(attn_scores: Tensor, _: Inputs) -> Tensor:
    """takes one softmax over the whole matrix of queries and keys.

    Each query has one unit of attention to spend. When the matrix is flattened first, all queries share a single
    unit: the matrix sums to 1 and each row to only a part of it.

    Bad:
        attn_weights = attn_scores.flatten(-2).softmax(-1).view_as(attn_scores)
    Good:
        attn_weights = attn_scores.softmax(dim=-1)

    Effect: Outputs are far too small, and an early token's share depends on all later ones.
    Nudge: What does one row of your weights sum to, and what the whole matrix?
    Fix: Leave the scores as a matrix and use softmax(dim=-1).
    """
    return attn_scores.flatten(-2).softmax(dim=-1).view_as(attn_scores)


def _zeros_where_blocked(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    return attn_scores.masked_fill(~inputs.keep_mask, 0.0)


def _ignore_mask(attn_scores: Tensor, _: Inputs) -> Tensor:
    return attn_scores


def _divide_by_sum(attn_scores: Tensor, _: Inputs) -> Tensor:
    return attn_scores / attn_scores.sum(dim=-1, keepdim=True)


def _with_own_fill(case: SubmissionObservations) -> tuple[StageOverride, ...]:
    """Without a softmax what blocked scores were filled with is there to be read."""
    fill = case.blocked_weight(next(iter(case.attempts))) if case.attempts else None
    if fill is None:
        return ()

    def fill_blocked(attn_scores: Tensor, inputs: Inputs) -> Tensor:
        return attn_scores.masked_fill(~inputs.keep_mask, fill)

    note = f"blocked scores set to {fill:g}"
    return (StageOverride({"normalise": lambda attn_scores, _: attn_scores, "mask": fill_blocked}, note),)


@misconception(
    "AG205",
    "no-softmax",
    replaces="normalise",
    family="softmax",
    fill_matters=True,
    variants=(
        StageOverride(
            {"normalise": lambda attn_scores, _: attn_scores, "mask": _zeros_where_blocked}, "blocked scores set to 0"
        ),
        StageOverride({"normalise": lambda attn_scores, _: attn_scores, "mask": _ignore_mask}, "no mask either"),
        StageOverride({"normalise": _divide_by_sum, "mask": _zeros_where_blocked}, "divided by their plain sum"),
        StageOverride({"normalise": lambda attn_scores, _: attn_scores.sigmoid()}, "a sigmoid instead"),
    ),
    fit=_with_own_fill,
)
def no_softmax(attn_scores: Tensor, _: Inputs) -> Tensor:
    """uses the scores themselves as weights, without a softmax.

    Weights are shares: none is negative, and each row sums to 1. Raw scores are any numbers, so the output is no
    weighted average of the values but an arbitrary combination of them.

    Bad:
        attn_output = attn_scores @ value
    Good:
        attn_output = attn_scores.softmax(dim=-1) @ value

    Effect: Outputs are many times too large, and masked positions are not really masked.
    Nudge: Look at the smallest of your weights.
    Fix: Apply softmax(dim=-1) to the scaled and masked scores, and use the result.
    """
    return attn_scores


def _naive_times_mask(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    exponentials = torch.exp(attn_scores) * inputs.keep_mask
    return exponentials / exponentials.sum(dim=-1, keepdim=True)


@misconception(
    "AG206",
    "softmax-naive",
    replaces="normalise",
    family="softmax",
    probe="large-scores",
    variants=(StageOverride({"normalise": _naive_times_mask, "mask": _ignore_mask}, "times the mask"),),
)
def softmax_naive(attn_scores: Tensor, _: Inputs) -> Tensor:
    """computes the softmax without subtracting the largest score first.

    exp(89) is already too large for float32 (and exp(12) for float16): it becomes infinite, and infinite divided by
    infinite is NaN. Subtracting the row's largest score changes nothing mathematically, because it cancels in the
    fraction, and keeps every exponent at or below 0.

    Bad:
        exponentials = attn_scores.exp()
        attn_weights = exponentials / exponentials.sum(-1, keepdim=True)
    Good:
        exponentials = (attn_scores - attn_scores.amax(-1, keepdim=True)).exp()
        attn_weights = exponentials / exponentials.sum(-1, keepdim=True)

    Effect: Everything works until one score is large; then one NaN spreads through the whole model.
    Nudge: What is exp(100) in float32?
    Fix: Subtract attn_scores.amax(-1, keepdim=True) before exp, or use torch.softmax.
    """
    exponentials = torch.exp(attn_scores)
    return exponentials / exponentials.sum(dim=-1, keepdim=True)
