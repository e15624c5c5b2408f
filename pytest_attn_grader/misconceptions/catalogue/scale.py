"""The factor on the scores: 1 / sqrt(head_dim), once, before the softmax."""

from __future__ import annotations

import math

from torch import Tensor

from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.catalogue.groups import group_size
from pytest_attn_grader.misconceptions.observations import SubmissionObservations
from pytest_attn_grader.misconceptions.stages import Inputs, StageOverride, unchanged
from pytest_attn_grader.misconceptions.syntax import count_root_scalings


@misconception("AG101", "no-scale", replaces="scale", family="scale")
def no_scale(attn_scores: Tensor, _: Inputs) -> Tensor:
    """does not divide the scores by the square root of head_dim.

    The dot product of two random vectors of length head_dim has a standard deviation of sqrt(head_dim), 8 for 64
    dimensions. Without the division the scores are that much too large, and softmax turns large differences into "all
    or nothing": every row puts nearly all of its weight on one key. The largest weight still sits on the right key,
    so the picture looks plausible.

    Bad:
        attn_scores = query @ key.transpose(-2, -1)
    Good:
        attn_scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))

    Effect: Attention becomes too peaked, and where softmax is saturated the gradients vanish: training is slow.
    Nudge: Between the product of query and key and the softmax one step of the formula is missing.
    Fix: Divide the scores by math.sqrt(query.size(-1)), before mask and softmax.
    """
    return attn_scores


@misconception(
    "AG102",
    "scale-dk",
    replaces="scale",
    family="scale",
    look_alikes=("scale-twice",),
    shown_by=lambda source: source.scales_without_root(),
)
def scale_dk(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """divides the scores by head_dim instead of its square root.

    The standard deviation of a dot product grows with the square root of the number of terms, not with the number
    itself. Dividing by head_dim makes the scores sqrt(head_dim) times too small (8 times for 64 dimensions), and
    softmax of nearly equal scores is nearly even: every key gets about the same weight.

    Bad:
        attn_scores = query @ key.transpose(-2, -1) / head_dim
    Good:
        attn_scores = query @ key.transpose(-2, -1) / math.sqrt(head_dim)

    Effect: Attention becomes too flat: heads that should look at one token average over all of them.
    Nudge: Look at the number that the scores are divided by. How does it follow from head_dim?
    Fix: Divide by math.sqrt(query.size(-1)), that is head_dim ** 0.5.
    """
    return attn_scores / inputs.query.shape[-1]


@misconception(
    "AG103",
    "scale-twice",
    replaces="scale",
    family="scale",
    look_alikes=("scale-dk",),
    shown_by=lambda source: count_root_scalings(source.nodes) + source.calls("scaled_dot_product_attention") > 1,
)
def scale_twice(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """scales twice, the query (or key) first and the scores again.

    Scaling the query by 1/sqrt(head_dim) is fine, and so is scaling the scores. Doing both divides by head_dim in all,
    which makes the scores too small and the weights too even.

    Bad:
        query = query / math.sqrt(head_dim)
        attn_scores = query @ key.transpose(-2, -1) / math.sqrt(head_dim)
    Good:
        attn_scores = query @ key.transpose(-2, -1) / math.sqrt(head_dim)

    Effect: Attention becomes too flat: heads that should look at one token average over all of them.
    Nudge: Count how often the scores are scaled on their way to the softmax.
    Fix: Keep one of the two divisions by math.sqrt(head_dim).
    """
    root = inputs.root
    return attn_scores / root / root


def _fit_width(case: SubmissionObservations) -> tuple[StageOverride, ...]:
    """A module with a fixed width: its number of heads is read off the factor, where the source takes the root."""
    factor = case.score_factor("basic")
    heads = 0.0 if not factor else factor**-2
    if heads < 1.5 or abs(heads - round(heads)) > 1e-3 * heads or not case.source.takes_root_of_width():
        return ()

    def by_width(attn_scores: Tensor, inputs: Inputs) -> Tensor:
        return attn_scores / (inputs.root * math.sqrt(round(heads)))

    return (StageOverride({"scale": by_width}, f"that is {round(heads)} heads wide"),)


def _by_width_of_keys(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    return attn_scores / math.sqrt(inputs.query.shape[-1] * inputs.query.shape[1] // group_size(inputs.key))


@misconception(
    "AG104",
    "scale-dmodel",
    replaces="scale",
    family="scale",
    variants=(StageOverride({"scale": _by_width_of_keys}, "of all key/value heads, which groups of heads share"),),
    fit=_fit_width,
    shown_by=lambda source: source.takes_root_of_width(),
)
def scale_dmodel(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """divides the scores by the square root of the model's width instead of head_dim's.

    The dot product runs over the dimensions of one head, so one head's width decides how large it gets. With num_heads
    heads the model's width is num_heads times larger, and the scores end up sqrt(num_heads) times too small.

    Bad:
        attn_scores = query @ key.transpose(-2, -1) / math.sqrt(num_heads * head_dim)
    Good:
        attn_scores = query @ key.transpose(-2, -1) / math.sqrt(head_dim)

    Effect: Attention becomes too flat, the more so the more heads there are. With one head it does not show.
    Nudge: Over how many numbers does one dot product of query and key sum? That number belongs under the root.
    Fix: Divide by math.sqrt(query.size(-1)), the width of one head.
    """
    return attn_scores / (inputs.root * math.sqrt(inputs.query.shape[1]))


@misconception("AG105", "scale-inverted", replaces="scale", family="scale")
def scale_inverted(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """multiplies the scores by the square root of head_dim instead of dividing by it.

    Some code keeps scale = sqrt(head_dim) and divides by it, some keeps scale = head_dim ** -0.5 and multiplies. Mixing
    the two goes the wrong way: the scores become head_dim times too large (64 times for 64 dimensions).

    Bad:
        scale = head_dim ** -0.5
        attn_scores = query @ key.transpose(-2, -1) / scale
    Good:
        scale = head_dim ** -0.5
        attn_scores = query @ key.transpose(-2, -1) * scale

    Effect: Every row puts all its weight on a single key; gradients of query and key are about ten times too large.
    Nudge: Is your scale a number above or below 1? Does the operation beside it fit?
    Fix: Multiply by head_dim ** -0.5, or divide by head_dim ** 0.5.
    """
    return attn_scores * inputs.root


def _values_by_root(attn_weights: Tensor, inputs: Inputs) -> Tensor:
    return attn_weights @ inputs.value / inputs.root


@misconception(
    "AG106",
    "scale-after-softmax",
    replaces="reweigh",
    family="scale",
    together_with={"scale": unchanged},
    variants=(StageOverride({"scale": unchanged, "combine": _values_by_root}, "the values, or the output"),),
)
def scale_after_softmax(attn_weights: Tensor, inputs: Inputs) -> Tensor:
    """divides by the square root of head_dim after the softmax instead of before it.

    The division is meant to keep the scores in a range where softmax is not saturated. After softmax it comes too late
    for that, and it breaks what softmax has just made: rows that sum to 1 now sum to 1/sqrt(head_dim), 0.125 for 64.

    Bad:
        attn_weights = (query @ key.transpose(-2, -1)).softmax(-1) / math.sqrt(head_dim)
    Good:
        attn_weights = (query @ key.transpose(-2, -1) / math.sqrt(head_dim)).softmax(-1)

    Effect: The attention's output is several times too small and comes from too peaked a pattern.
    Nudge: What do the rows of your weights sum to? Which step comes after the one that makes them sum to 1?
    Fix: Move the division in front of the softmax.
    """
    return attn_weights / inputs.root


def _by_query_len(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    return attn_scores / math.sqrt(inputs.query.shape[-2])


def _fit_single_query(case: SubmissionObservations) -> tuple[StageOverride, ...]:
    """A function whose mask is a length is called with one query at a time, and the root of 1 is 1."""
    if not (case.source.takes_root_of_tokens() and "valid_len" in case.source.text):
        return ()
    return (StageOverride({"scale": unchanged}, "the number of queries, which is 1 in every call of a valid_lens"),)


@misconception(
    "AG107",
    "scale-seq",
    replaces="scale",
    family="scale",
    variants=(StageOverride({"scale": _by_query_len}, "the number of queries"),),
    fit=_fit_single_query,
    shown_by=lambda source: source.takes_root_of_tokens(),
)
def scale_seq(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """divides the scores by the square root of the sequence length instead of head_dim's.

    Sequence length and head dimension are both sizes of the same tensor, one axis apart: size(-2) is the number of
    tokens, size(-1) the width of a head. The dot product sums over the width, so the width belongs under the root.

    Bad:
        attn_scores = query @ key.transpose(-2, -1) / math.sqrt(key.size(-2))
    Good:
        attn_scores = query @ key.transpose(-2, -1) / math.sqrt(key.size(-1))

    Effect: Too peaked on short texts, too flat on long ones, and right by accident when both sizes are equal.
    Nudge: Which axis of the tensor does your divisor come from? Try a length that differs from head_dim.
    Fix: Take the last axis: math.sqrt(query.size(-1)).
    """
    return attn_scores / math.sqrt(inputs.key.shape[-2])
