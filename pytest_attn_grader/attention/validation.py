"""Validation of the input of every figure: same shapes, finite numbers, rows that are distributions."""

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


def validate_same_shape(student: torch.Tensor, reference: torch.Tensor, what: str) -> None:
    """Raises ValueError naming both shapes when they differ."""
    if student.shape != reference.shape:
        raise ValueError(
            f"student and reference {what} differ in shape: {tuple(student.shape)} and {tuple(reference.shape)}"
        )


def validate_finite_pair(student: torch.Tensor, reference: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Both maps, finite, in float64."""
    validate_same_shape(student, reference, "weights")
    return (
        validate_finite(student, "student weights"),
        validate_finite(reference, "reference weights"),
    )


def validate_distribution(weights: torch.Tensor, name: str) -> torch.Tensor:
    """The rows as distributions in float64; what rounding is left in their sums is taken out."""
    weights = validate_non_negative(validate_finite(weights, name), name)
    sums = weights.sum(dim=-1, keepdim=True)
    worst = (sums - 1).abs().amax().item()
    if worst > ROW_SUM_TOLERANCE:
        raise ValueError(
            f"rows of {name} do not sum to one: the largest row-sum error is {worst:.6g}. "
            "A distance between rows that are no distributions means nothing; "
            "normalise them first with normalised_rows() if it is wanted all the same"
        )
    return weights / sums


def validate_distribution_pair(student: torch.Tensor, reference: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Both maps as distributions in float64."""
    validate_same_shape(student, reference, "weights")
    return (
        validate_distribution(student, "student weights"),
        validate_distribution(reference, "reference weights"),
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
