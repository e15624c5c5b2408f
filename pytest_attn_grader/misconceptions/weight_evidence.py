"""The evidence in the weights: the returned ones, or those that the output is made of."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from pytest_attn_grader.attention.probes import real_rows
from pytest_attn_grader.attention.reference import causal_keep_mask, steps_back
from pytest_attn_grader.misconceptions.observations import SubmissionObservations

# A weight is lost where it should be at least the first, and is below the second.
_VISIBLE, _ZERO = 1e-4, 1e-9


def describe_weights(case: SubmissionObservations, name: str) -> Iterator[str]:
    """Describe the weights: the returned ones, or those that the output is made of."""
    record, probe, exact = case.attempts[name], case.probes[name], case.references[name].attn_weights
    weights = case.shaped_weights(name)
    if weights is None or exact is None:
        return
    shape = weights.shape
    student, reference = real_rows(weights.double(), probe), real_rows(exact.double(), probe)
    keep = real_rows(probe.keep_mask.expand(shape), probe)
    bad_rows = (~student.isfinite()).any(-1)
    if bool(bad_rows.any()):
        negative = real_rows(probe.prepared[0] @ probe.prepared[1].mT, probe) < 0
        is_function = torch.equal(bad_rows, negative.any(-1)) or torch.equal(bad_rows, (negative & keep).any(-1))
        tells = is_function and not bool(bad_rows.all())  # every row may well have a negative score
        which = ": those with a negative score, of which a root, a power or a logarithm is NaN" if tells else ""
        yield f"{int(bad_rows.sum())} of {bad_rows.numel()} rows of weights are not finite{which}"
        return
    if record.weights_returned and case.matches_reference(name, "weights"):
        yield "the weights are right; the product with value, or what follows it, is not"
        return
    sums = student.sum(-1)
    if float((sums - 1).abs().max()) > 1e-3:
        normalised = student / sums[..., None]
        right_otherwise = float((normalised - reference).abs().nan_to_num(1.0).max()) < 1e-3
        even = float(sums.max() - sums.min()) < 1e-3
        text = (
            f"rows sum to {float(sums.mean()):.4g}"
            if even
            else f"rows sum to {float(sums.min()):.3g} to {float(sums.max()):.3g}"
        )
        yield text + (", weights otherwise right" if right_otherwise else " instead of 1")
    if float(student.min()) < -1e-6:
        yield f"some weights are negative (down to {float(student.min()):.3g})"
    leaked = float(student[~keep].abs().max()) if bool((~keep).any()) else 0.0
    if leaked > 1e-6:
        yield f"masked keys get weights of up to {leaked:.3g}"
        return
    later = keep & real_rows(~causal_keep_mask(*shape[-2:]).expand(shape), probe)
    if bool(later.any()) and float(student[later].abs().max()) <= 1e-6:
        yield "no token attends to a later one, but this model reads in both directions: leave the causal mask out"
        return
    factor = case.score_factor(name)
    if factor is not None:
        yield f"the weights are those of scores that are {factor:.4g} times as large as they should be"
        return
    yield from _lost(student, reference, real_rows(steps_back(*shape[-2:]).expand(shape), probe))


def _lost(student: Tensor, reference: Tensor, steps_back: Tensor) -> Iterator[str]:
    """Say which weights are 0 and should not be: each token's own, the small ones of each row, or others."""
    seen = reference > _VISIBLE
    lost = seen & (student.abs() < _ZERO)
    lost &= (lost != seen).any(-1, keepdim=True)  # of whole rows their sums tell
    if not bool(lost.any()):
        return
    largest_lost = torch.where(lost, reference, 0.0).amax(-1)
    smallest_kept = torch.where(seen & ~lost, reference, torch.inf).amin(-1)
    which = "the smallest of their rows" if bool((largest_lost < smallest_kept).all()) else "large ones among them"
    if not bool(steps_back[lost].any()):
        which = "those of each token's own key"
    is_kept = (seen & ~lost).flatten(0, -2).any(0)
    if not bool((lost & is_kept).any()):
        keys = lost.flatten(0, -2).any(0).nonzero().flatten().tolist()
        which = f"those of key{'s' if len(keys) > 1 else ''} {list_indices(keys)}, whichever the query is"
    share = float(lost.sum() / seen.sum())
    yield (
        f"{f'{share:.0%}' if share >= 0.01 else 'less than 1%'} of the weights are 0 and should not be, of up to "
        f"{float(largest_lost.max()):.2g}: {which}"
    )


def list_indices(indices: list[int]) -> str:
    """Indices in ascending order, three or more in a row as "0 to 127"."""
    runs: list[list[int]] = []
    for index in indices:
        if runs and runs[-1][-1] == index - 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    words = [f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs]
    return ", ".join(words if len(words) <= 6 else [*words[:5], f"and {len(words) - 5} more"])
