"""The factor on the scores: 1 / sqrt(head_dim), once, before the softmax."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from torch import Tensor

from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.observations import SubmissionObservations
from pytest_attn_grader.misconceptions.stages import Inputs, StageOverride, unchanged


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


@misconception("AG102", "scale-dk", replaces="scale", family="scale", look_alikes=("scale-twice",))
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


@misconception("AG103", "scale-twice", replaces="scale", family="scale", look_alikes=("scale-dk",))
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


@misconception(
    "AG104",
    "scale-dmodel",
    replaces="scale",
    family="scale",
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


@misconception("AG106", "scale-after-softmax", replaces="reweigh", family="scale", together_with={"scale": unchanged})
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


@misconception(
    "AG107",
    "scale-seq",
    replaces="scale",
    family="scale",
    variants=(StageOverride({"scale": _by_query_len}, "the number of queries"),),
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


def _times(factor: Callable[[int], float], note: str) -> StageOverride:
    return StageOverride({"scale": lambda attn_scores, inputs: attn_scores * factor(inputs.query.shape[-1])}, note)


@misconception(
    "AG109",
    "scale-precedence",
    replaces="scale",
    family="scale",
    variants=(
        _times(lambda head_dim: 1 / (2 * head_dim), "multiplied by 1 / (2 head_dim), as head_dim ** -1 / 2 is"),
        _times(lambda head_dim: head_dim / 2, "multiplied by head_dim ** 1 / 2, which is head_dim / 2"),
        _times(lambda head_dim: 2 * head_dim, "divided by head_dim ** -1 / 2, which is 1 / (2 head_dim)"),
    ),
)
def scale_precedence(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """takes head_dim ** 1 / 2 for the square root of head_dim, but a power comes before a division.

    Python reads head_dim ** 1 / 2 as (head_dim ** 1) / 2, which is head_dim / 2: 32 for 64 dimensions, where the root
    is 8. In the same way head_dim ** -1 / 2 is 1 / (2 * head_dim).

    Bad:
        attn_scores = query @ key.transpose(-2, -1) / (head_dim ** 1 / 2)
    Good:
        attn_scores = query @ key.transpose(-2, -1) / head_dim ** 0.5

    Effect: Attention is too flat or too peaked, by a factor that grows with head_dim.
    Nudge: Print the number that you scale with. Is it a square root?
    Fix: Write head_dim ** 0.5, head_dim ** (1 / 2) or math.sqrt(head_dim).
    """
    return attn_scores / (inputs.query.shape[-1] / 2)


def _factors(case: SubmissionObservations) -> dict[int, float]:
    """Read the factor on the scores off each probe whose weights all show the same one, by head_dim."""
    found: dict[int, float] = {}
    for name in ("basic", "unpadded", "narrow"):
        if name not in case.attempts:
            continue
        factor = case.score_factor(name)
        if factor is None and case.kept_weights(name) is not None and case.matches_reference(name, "weights"):
            factor = 1.0
        head_dim = case.probes[name].query.shape[-1]
        if factor is not None and factor > 0:
            found[head_dim] = factor / math.sqrt(head_dim)
    return found


def _fit_factor(case: SubmissionObservations) -> tuple[StageOverride, ...]:
    """Read the factor off the student's weights: a number, a power of head_dim, a multiple of the right one."""
    found = _factors(case)
    if not found or all(abs(factor * math.sqrt(head_dim) - 1) < 1e-3 for head_dim, factor in found.items()):
        return ()
    (first, plain), *others = found.items()
    changes = []
    right = [head_dim for head_dim, factor in found.items() if _is_close(factor * math.sqrt(head_dim), 1.0)]
    is_typed_in = bool(others) and all(_is_close(factor, plain) for _, factor in others)
    if is_typed_in or not others:
        note = f"scores are multiplied by {plain:.4g}" + (_whatever(plain, right, found) if is_typed_in else "")
        changes.append(_times(lambda _: plain, note))
    if others and not is_typed_in:
        other, power_of = others[-1][0], math.log(plain / others[-1][1])
        power = power_of / math.log(first / other) if first != other else 0.0
        constant = plain / first**power
        is_power = all(_is_close(constant * head_dim**power, factor) for head_dim, factor in found.items())
        if is_power and abs(power + 0.5) > 1e-3:
            note = f"scores are multiplied by {constant:.4g} * head_dim ** {power:.3g}"
            changes.append(_times(lambda head_dim: constant * head_dim**power, note))
    multiple = plain * math.sqrt(first)
    note = f"scores are {multiple:.4g} times as large as they should be"
    return (*changes, _times(lambda head_dim: multiple / math.sqrt(head_dim), note))


def _is_close(number: float, other: float) -> bool:
    return abs(number - other) < 2e-3 * abs(other)


def _whatever(factor: float, right: list[int], found: Mapping[int, float]) -> str:
    """Say that a number is the same for every head_dim, and for which it is the right one."""
    inverse = factor**-2
    root = f", which is 1/sqrt({round(inverse)})" if _is_close(inverse, round(inverse)) and inverse > 1.5 else ""
    wrong = " and ".join(str(head_dim) for head_dim in found if head_dim not in right)
    which = f": right for {' and '.join(map(str, right))}, wrong for {wrong}" if right else ""
    return f"{root}, whatever head_dim is{which}"


def _by_batch_size(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    return attn_scores / math.sqrt(inputs.query.shape[0])


@misconception(
    "AG108",
    "scale-other",
    replaces="scale",
    family="scale",
    variants=(StageOverride({"scale": _by_batch_size}, "the number of examples"),),
    fit=_fit_factor,
)
def scale_other(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """scales the scores by a number that is not 1/sqrt(head_dim).

    The divisor is the square root of the last axis of query and key, head_dim. A number typed in (such as the 64 of
    somebody else's model), one more factor beside it (a temperature), or another axis (size(1) is the heads once they
    are split) makes the pattern too peaked or too flat.

    Bad:
        attn_scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(1))
    Good:
        attn_scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))

    Effect: The model looks at too few or too many tokens, by another amount in every model.
    Nudge: Print the number that you divide the scores by, for two models whose heads have other sizes.
    Fix: Divide by math.sqrt(query.size(-1)).
    """
    return attn_scores / math.sqrt(inputs.query.shape[1])
