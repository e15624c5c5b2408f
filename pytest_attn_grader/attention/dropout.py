"""Dropout, estimated from outputs: random numbers cannot be compared one by one, but their traces can be read.

Dropout on the weights sets a share p of them to exactly 0 and divides the others by 1 - p (Srivastava et al. 2014, in
the inverted form of `torch.nn.functional.dropout`). The weights that were in use are solved for from the output,
whatever was returned as such; numbers of the output that were dropped after that are left out of the solution.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from pytest_attn_grader.attention.probes import Probe, real_rows

# A weight below this is too small to tell its share of the output from rounding.
MIN_WEIGHT = 1e-3
# What no weighted sum of the values explains: larger, and the output is not one.
MAX_RESIDUAL = 1e-2
# A dropped number is 0 up to what solving for it costs.
MAX_ZERO = 1e-3
# Relative difference of the factors of two kept weights.
MAX_FACTOR_ERROR = 5e-3
# Standard deviations by which the share of dropped weights may miss the probability.
MAX_DEVIATIONS = 5.0
# Pairs of weights that show whether two heads, rows or examples share their random numbers.
MIN_PAIRS = 12


def effective_weights(attn_output: Tensor, probe: Probe) -> tuple[Tensor, Tensor] | None:
    """The weights that an output is made of, whatever was returned as such: the solution of weights @ value = output.

    Returns:
        the weights ``(batch, num_heads, query_len, key_len)`` in float64, and what no weighted sum of the values
        explains, ``(batch, num_heads, query_len, head_dim)``; None with so many keys that the solution would be no
        good, or when the output has another shape than the query. Numbers that are not finite count as 0.
    """
    key_len, head_dim = probe.value.shape[-2:]
    output = attn_output.double()
    if key_len > head_dim // 2 or output.shape != probe.query.shape:
        return None
    value = probe.value.double()
    weights = output.nan_to_num(0.0, 0.0, 0.0) @ torch.linalg.pinv(value)
    return weights, output - weights @ value


def output_weights(attn_output: Tensor, probe: Probe) -> tuple[Tensor, float] | None:
    """The output's effective weights on real rows, ``(rows, num_heads, key_len)``, and the residual.

    Returns:
        None where `effective_weights` cannot tell.
    """
    found = effective_weights(attn_output, probe)
    if found is None:
        return None
    weights, rest = found
    return real_rows(weights, probe), float(real_rows(rest, probe).abs().max())


def exact_weights(attn_output: Tensor, probe: Probe) -> Tensor | None:
    """The weights ``(batch, num_heads, query_len, key_len)`` of a finite output, a weighted sum of the values.

    Returns:
        None where it is not, or where `effective_weights` cannot tell.
    """
    found = effective_weights(attn_output, probe)
    if found is None or not real_rows(attn_output, probe).isfinite().all():
        return None
    weights, rest = found
    return weights if float(real_rows(rest, probe).abs().max()) < MAX_RESIDUAL else None


@dataclass(frozen=True)
class Dropout:
    """Effect of dropout on known weights.

    Attributes:
        share: how many of the weights are 0 now.
        factor: what the others were multiplied with.
        output_share: how many numbers of the output were set to 0 after the product with value.
        shared_by: "heads", "queries", "keys" or "examples" that all drop the same positions.
        count: the weights that were looked at.
    """

    share: float
    factor: float
    output_share: float = 0.0
    shared_by: tuple[str, ...] = ()
    count: int = 0

    @property
    def deviation(self) -> float:
        """Distance of the share from the probability that the factor 1 / (1 - p) implies: near 0 for real dropout."""
        return abs(self.share - (1 - 1 / self.factor)) if self.factor > 0 else 1.0

    def has_share(self, dropout_p: float) -> bool:
        """Whether the share of zeros is what chance makes of this probability."""
        chance = math.sqrt(dropout_p * (1 - dropout_p) / max(1, self.count))
        return abs(self.share - dropout_p) <= MAX_DEVIATIONS * chance

    def has_factor(self, factor: float) -> bool:
        return abs(self.factor / factor - 1) < MAX_FACTOR_ERROR

    def matches(self, dropout_p: float) -> bool:
        """Whether it is dropout with this probability, once more on the output if that was dropped too."""
        times = 1 + (self.output_share > 0)
        return self.has_share(dropout_p) and self.has_factor((1 - dropout_p) ** -times)


def estimate_dropout(attn_output: Tensor, attn_weights: Tensor | None, probe: Probe) -> Dropout | None:
    """Estimate the effect of dropout on these weights; None when dropout of them does not give the output.

    Args:
        attn_weights: without dropout, ``(batch, num_heads, query_len, key_len)``.
    """
    shape = (*probe.query.shape[:-1], probe.key.shape[-2])
    if attn_weights is None or attn_weights.shape != shape or attn_output.shape != probe.query.shape:
        return None
    if probe.key.shape[-2] > probe.value.shape[-1] // 2 or not real_rows(attn_output, probe).isfinite().all():
        return None
    after, residual, output_share = _weights_behind(attn_output, probe)
    before = attn_weights.double()
    usable = (before > MIN_WEIGHT) & probe.real_rows[:, None, :, None]
    ratio = torch.where(usable, after / before, torch.nan)
    if residual >= MAX_RESIDUAL or not is_zero_or_scaled(ratio[usable]):
        return None
    zero = ratio.abs() < MAX_ZERO
    return Dropout(
        share=float(zero[usable].double().mean()),
        factor=float(ratio[usable & ~zero].median()),
        output_share=output_share,
        shared_by=tuple(name for name, axis in _AXES.items() if _is_shared(zero, usable, axis)),
        count=int(usable.sum()),
    )


def describe_shared(shared_by: Collection[str]) -> str:
    """Say in words which weights share one random number."""
    if {"queries", "keys"} <= set(shared_by):
        return "all weights of a head are dropped together"
    if "keys" in shared_by:
        return "all keys of a query are dropped together"
    return f"all {' and all '.join(name for name in _AXES if name in shared_by)} drop the same positions"


_AXES = {"heads": 1, "queries": 2, "keys": 3, "examples": 0}


def _weights_behind(attn_output: Tensor, probe: Probe) -> tuple[Tensor, float, float]:
    """Weights of the whole shape, the residual on real rows, and the share of the output that is exactly 0.

    A row of the output that is 0 as a whole lost all its weights; single zeros were dropped after the product.
    """
    output = torch.where(probe.real_rows[:, None, :, None], attn_output.double(), 0.0)
    kept = (output != 0) | (output == 0).all(-1, keepdim=True)  # (batch, num_heads, query_len, head_dim)
    rows = real_rows(kept, probe)
    output_share = 1 - float(rows.double().mean())
    if output_share == 0:
        found = effective_weights(output, probe)
        if found is None:
            raise ValueError("the shape was looked at before")
        weights, rest = found
        return weights, float(rest.abs().max()), 0.0
    value = probe.value.double()[:, :, None]  # (batch, num_heads, 1, key_len, head_dim)
    some_values = (value * kept[..., None, :]).transpose(-2, -1)  # (batch, num_heads, query_len, head_dim, key_len)
    solution = torch.linalg.lstsq(some_values, output[..., None]).solution  # (..., key_len, 1)
    rest = some_values @ solution - output[..., None]
    return solution[..., 0], float(rest.abs().max()), output_share


def _is_shared(zero: Tensor, usable: Tensor, axis: int) -> bool:
    """Whether neighbours along an axis always drop the same positions, and drop some."""
    if zero.shape[axis] < 2:
        return False
    first, second = (slice(None, -1), slice(1, None))
    ahead, behind = (_along(usable, axis, part) for part in (first, second))
    pairs = ahead & behind
    same = (_along(zero, axis, first) == _along(zero, axis, second))[pairs]
    return int(pairs.sum()) >= MIN_PAIRS and bool(same.all()) and bool(zero.any()) and not bool(zero[usable].all())


def _along(tensor: Tensor, axis: int, part: slice) -> Tensor:
    return tensor[(slice(None),) * axis + (part,)]


def is_zero_or_scaled(ratio: Tensor) -> bool:
    """Whether numbers after dropout, divided by those before, are 0 or one common positive factor, and both occur."""
    if ratio.numel() == 0 or not ratio.isfinite().all():
        return False
    zero = ratio.abs() < MAX_ZERO
    kept = ratio[~zero]
    if not zero.any() or kept.numel() == 0:
        return False
    factor = float(kept.median())
    return factor > 0 and float((kept - factor).abs().max()) < MAX_FACTOR_ERROR * factor
