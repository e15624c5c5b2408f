"""What dropout leaves behind: random numbers cannot be compared one by one, but their traces can be read.

Dropout on the weights sets some of them to exactly 0 and enlarges the others by 1 / (1 - p) (Srivastava et al. 2014,
in the inverted form of `torch.nn.functional.dropout`). The weights that were in use are read off the output, whatever
was returned as such.
"""

from __future__ import annotations

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
    """The output's own weights on judged rows, ``(rows, num_heads, key_len)``, and how far it is from their sum.

    Returns:
        None where `effective_weights` cannot tell.
    """
    found = effective_weights(attn_output, probe)
    if found is None:
        return None
    weights, rest = found
    return real_rows(weights, probe), float(real_rows(rest, probe).abs().max())


def has_dropped_weights(attn_output: Tensor, attn_weights: Tensor | None, probe: Probe) -> bool:
    """Whether the output's own weights are these, some set to 0 and the others enlarged alike.

    Args:
        attn_weights: without dropout, ``(batch, num_heads, query_len, key_len)``.
    """
    return estimate_dropout(attn_output, attn_weights, probe) is not None


@dataclass(frozen=True)
class Dropout:
    """What dropout did to known weights.

    Attributes:
        share: how many of them are 0 now.
        factor: what the others were multiplied with.
    """

    share: float
    factor: float

    @property
    def deviation(self) -> float:
        """How far the share is from the probability that the factor 1 / (1 - p) tells: near 0 for real dropout."""
        return abs(self.share - (1 - 1 / self.factor))


def estimate_dropout(attn_output: Tensor, attn_weights: Tensor | None, probe: Probe) -> Dropout | None:
    """What dropout made of these weights; None when the output is not made of them by dropout."""
    found = output_weights(attn_output, probe)
    if found is None or attn_weights is None or not real_rows(attn_output, probe).isfinite().all():
        return None
    if attn_weights.shape != (*probe.query.shape[:-1], probe.key.shape[-2]):
        return None
    after, rest = found
    before = real_rows(attn_weights.double(), probe)
    usable = before > MIN_WEIGHT
    ratio = after[usable] / before[usable]
    if rest >= MAX_RESIDUAL or not is_zero_or_enlarged(ratio):
        return None
    zero = ratio.abs() < MAX_ZERO
    return Dropout(share=float(zero.double().mean()), factor=float(ratio[~zero].median()))


def is_zero_or_enlarged(ratio: Tensor) -> bool:
    """Whether numbers after dropout, divided by those before, are 0 or one common factor above 1."""
    if ratio.numel() == 0 or not ratio.isfinite().all():
        return False
    zero = ratio.abs() < MAX_ZERO
    kept = ratio[~zero]
    if not zero.any() or kept.numel() == 0:
        return False
    factor = float(kept.median())
    return factor > 1.001 and float((kept - factor).abs().max()) < 5e-3 * factor
