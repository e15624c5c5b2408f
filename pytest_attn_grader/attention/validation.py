"""Validation of the input of every figure: same shapes, finite numbers, rows that are distributions, rows to judge."""

from __future__ import annotations

import torch

# A row of softmax in bfloat16 over a thousand keys is off by about this much; a forgotten normalisation by far more.
ROW_SUM_TOLERANCE = 5e-3


def validate_finite(values: torch.Tensor, name: str) -> torch.Tensor:
    """The values in float64; raises ValueError naming how many are not finite and the first."""
    values = values.to(torch.float64)
    bad = ~values.isfinite()
    if bad.any():
        raise ValueError(
            f"{name} must be finite: {int(bad.sum())} of {values.numel()} values are not, "
            f"the first is {values[bad][0].item()} at {bad.nonzero()[0].tolist()}"
        )
    return values


def validate_non_negative(weights: torch.Tensor, name: str) -> torch.Tensor:
    """The weights as they are; raises ValueError naming the smallest when one is negative."""
    if (weights < 0).any():
        raise ValueError(f"{name} must not be negative: the smallest value is {weights.min().item():.6g}")
    return weights


def select_rows(weights: torch.Tensor, real_rows: torch.Tensor | None) -> torch.Tensor:
    """The query rows to judge, ``(..., judged rows, key_len)``; the others may hold anything, NaN included."""
    if real_rows is None:
        return weights
    if real_rows.dtype != torch.bool or real_rows.shape != weights.shape[-2:-1]:
        raise ValueError(
            f"real_rows must be boolean of shape ({weights.shape[-2]},), one entry a query, "
            f"got {real_rows.dtype} of shape {tuple(real_rows.shape)}"
        )
    if not real_rows.any():
        raise ValueError("real_rows marks no row as real: there is nothing to judge")
    return weights[..., real_rows, :]


def validate_same_shape(student: torch.Tensor, reference: torch.Tensor, what: str) -> None:
    """Raises ValueError naming both shapes when they differ."""
    if student.shape != reference.shape:
        raise ValueError(
            f"student and reference {what} differ in shape: {tuple(student.shape)} and {tuple(reference.shape)}"
        )


def validate_finite_pair(
    student: torch.Tensor, reference: torch.Tensor, real_rows: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows to judge of both maps, finite, in float64."""
    validate_same_shape(student, reference, "weights")
    return (
        validate_finite(select_rows(student, real_rows), "student weights"),
        validate_finite(select_rows(reference, real_rows), "reference weights"),
    )


def validate_distribution(weights: torch.Tensor, name: str, real_rows: torch.Tensor | None) -> torch.Tensor:
    """Rows to judge, as distributions in float64; what rounding is left in their sums is taken out."""
    weights = validate_non_negative(validate_finite(select_rows(weights, real_rows), name), name)
    sums = weights.sum(dim=-1, keepdim=True)
    worst = (sums - 1).abs().amax().item()
    if worst > ROW_SUM_TOLERANCE:
        raise ValueError(
            f"rows of {name} do not sum to one: the largest row-sum error is {worst:.6g}. "
            "A distance between rows that are no distributions means nothing; "
            "normalise them first with normalised_rows() if it is wanted all the same"
        )
    return weights / sums


def validate_distribution_pair(
    student: torch.Tensor, reference: torch.Tensor, real_rows: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows to judge of both maps, as distributions in float64."""
    validate_same_shape(student, reference, "weights")
    return (
        validate_distribution(student, "student weights", real_rows),
        validate_distribution(reference, "reference weights", real_rows),
    )


def validate_square(weights: torch.Tensor, input_ids: torch.Tensor | None = None) -> torch.Tensor:
    """A finite map of one sequence onto itself, in float64, that belongs to these tokens."""
    weights = validate_finite(weights, "weights")
    if weights.ndim < 2 or weights.shape[-1] != weights.shape[-2]:
        raise ValueError(f"the score is defined on a square map of one sequence, got {tuple(weights.shape)}")
    if input_ids is not None and input_ids.shape != weights.shape[-1:]:
        raise ValueError(
            f"input_ids must have shape ({weights.shape[-1]},), one token a position, got {tuple(input_ids.shape)}"
        )
    return weights
