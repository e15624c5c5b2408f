"""Factors on the scores that are read off the student's numbers, and those of a power before a division."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

from torch import Tensor

from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.observations import SubmissionObservations
from pytest_attn_grader.misconceptions.stages import Inputs, StageOverride

# Other code that scales by a number without saying so.
_MULTIPLES = {
    math.log(2): "with 2 ** x in place of exp(x)",
    math.log2(math.e): "where log2(e) is multiplied in twice",
    2.0: "where squared weights are divided by their sum",
}


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
    if not found:
        return _extremes(case)
    if all(abs(factor * math.sqrt(head_dim) - 1) < 1e-3 for head_dim, factor in found.items()):
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
    note = f"scores are {multiple:.4g} times as large as they should be" + next(
        (f", as {words}" for number, words in _MULTIPLES.items() if _is_close(multiple, number)), ""
    )
    return (*changes, _times(lambda head_dim: multiple / math.sqrt(head_dim), note))


def _extremes(case: SubmissionObservations) -> tuple[StageOverride, ...]:
    """Factors so far from 1 that the weights do not show them: the numbers in the source's products and divisions."""
    numbers = sorted(number for number in case.source.factors() if number >= 1e3 or 0 < number <= 1e-3)
    return tuple(
        StageOverride(
            {"scale": partial(_scaled_by, factor=factor, root=root)}, f"scores are multiplied by {factor:.4g}"
        )
        for number in numbers[:4]
        for factor in (number, 1 / number)
        for root in (False, True)
    )


def _scaled_by(attn_scores: Tensor, inputs: Inputs, *, factor: float, root: bool) -> Tensor:
    return attn_scores * factor / (inputs.root if root else 1.0)


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


def _by_whole_root(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    return attn_scores / int(inputs.root)


@misconception(
    "AG108",
    "scale-other",
    replaces="scale",
    family="scale",
    variants=(
        StageOverride({"scale": _by_batch_size}, "the number of examples"),
        StageOverride({"scale": _by_whole_root}, "the root of head_dim is rounded down to a whole number"),
        _times(lambda _: 0.0, "0, as // and int() leave of a factor below 1: head_dim ** -1 // 2"),
    ),
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
