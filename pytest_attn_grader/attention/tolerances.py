"""Tolerances: the distance from the reference that a right answer may have, derived on the inputs at hand.

Correct implementations differ among themselves only by the order of their floating-point operations. So the reference
is evaluated in float64, and then several times in the probe's own precision with its operations reordered: the largest
distance is the spread that honest rounding has on these very inputs. The tolerance is that spread times `FACTOR`, and
never below `FLOOR_EPS` units in the last place. Nothing here has ever seen a submission.

Measured on a CPU with 40 seeds, every probe, and the 35 correct submissions of ``tests/submissions`` (which this module
does not know): the largest error of any of them is 0.75 of a tolerance made with the factor 6 (an epsilon of 1e-6 in
the softmax's denominator, which is no rounding at all; without it 0.48, the fused kernel's gradients), so less with 8.
The smallest fault that must fail, a constant of -1e4 added to every score, exceeds it 50 times and more. Typical
tolerances: 6e-6 for outputs and 2e-6 for weights in float32, 0.3 and 0.1 in bfloat16.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pytest_attn_grader._utils.fork_cache import cached, is_enabled
from pytest_attn_grader.attention.probes import (
    INPUT_NAMES,
    InProcessAttention,
    Probe,
    ProbeResult,
    in_float64,
    max_abs_error,
)
from pytest_attn_grader.attention.reference import reference_attention

FACTOR = 8.0
# Rounding errors can cancel by luck, above all on tiny inputs: never ask for less than so many units in the last place.
FLOOR_EPS = 16.0
# Queries that the evaluation without a matrix multiplication takes at once, and up to how many products it is tried: it
# is many times slower than the others.
_QUERIES = 64
_MAX_PRODUCTS = 1 << 24


@dataclass(frozen=True)
class ProbeTolerance:
    """Tolerances of one probe by quantity: attn_output, attn_weights, query, key, value (the gradients)."""

    probe: str
    dtype: str
    spread: Mapping[str, float]
    tolerance: Mapping[str, float]


def derive_tolerance(probe: Probe) -> tuple[ProbeResult, ProbeTolerance]:
    """The float64 reference of a probe (without dropout), and how far from it the probe's own precision may land."""
    # A fingerprint reads every tensor: only worth it where results are cached.
    return cached(("tolerance", probe.fingerprint), lambda: _derive(probe)) if is_enabled() else _derive(probe)


def _derive(probe: Probe) -> tuple[ProbeResult, ProbeTolerance]:
    exact = InProcessAttention(reference_attention).run_probe(replace(in_float64(probe), dropout_p=0.0, training=False))
    spread = dict.fromkeys(_quantities(exact), 0.0)
    for evaluation in EVALUATION_ORDERS:
        if evaluation is _elementwise and probe.query.numel() * probe.key.shape[-2] > _MAX_PRODUCTS:
            continue  # the others reorder the same sums
        record = InProcessAttention(evaluation).run_probe(probe)
        for name, tensor in _quantities(record).items():
            spread[name] = max(spread[name], _distance(name, tensor, _quantities(exact)[name], probe))
    eps = torch.finfo(probe.query.dtype).eps
    tolerance = {
        name: max(FACTOR * spread[name], FLOOR_EPS * eps * max(1.0, float(tensor.abs().max())))
        for name, tensor in _quantities(exact).items()
    }
    dtype = str(probe.query.dtype).removeprefix("torch.")
    return exact, ProbeTolerance(probe.name, dtype, spread, tolerance)


def _quantities(record: ProbeResult) -> dict[str, Tensor]:
    found = {"attn_output": record.attn_output, "attn_weights": record.attn_weights, **record.gradients}
    return {name: tensor for name, tensor in found.items() if tensor is not None}


def _distance(name: str, tensor: Tensor, exact: Tensor, probe: Probe) -> float:
    if name in INPUT_NAMES:
        return float((tensor.double() - exact.double()).abs().max())
    return max_abs_error(tensor, exact, probe)


AttentionLike = Callable[..., tuple[Tensor, Tensor]]


def _plain(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor, **_: object) -> tuple[Tensor, Tensor]:
    return reference_attention(query, key, value, keep_mask)


def _scaled_query(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor, **_: object) -> tuple[Tensor, Tensor]:
    attn_scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
    attn_weights = attn_scores.masked_fill(~keep_mask, torch.finfo(query.dtype).min).softmax(dim=-1)
    return attn_weights @ value, attn_weights


def _split_scaling(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor, **_: object) -> tuple[Tensor, Tensor]:
    root = query.shape[-1] ** -0.25
    attn_scores = (query * root) @ (key * root).transpose(-2, -1)
    attn_weights = attn_scores.masked_fill(~keep_mask, torch.finfo(query.dtype).min).softmax(dim=-1)
    return attn_weights @ value, attn_weights


def _reversed_sums(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor, **_: object) -> tuple[Tensor, Tensor]:
    """Both sums, over head_dim and over the keys, in the opposite order."""
    attn_output, attn_weights = reference_attention(
        query.flip(-1), key.flip(-1).flip(-2), value.flip(-2), keep_mask.flip(-1)
    )
    return attn_output, attn_weights.flip(-1)


def _elementwise(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor, **_: object) -> tuple[Tensor, Tensor]:
    """Products and sums without a matrix multiplication, and the normalisation last."""
    keep_mask = keep_mask.expand(*query.shape[:-1], key.shape[-2])
    # In blocks of queries: a product of a thousand queries and keys would take half a gigabyte.
    blocks = [
        _elementwise_block(some_queries, key, value, some_rows)
        for some_queries, some_rows in zip(
            torch.split(query, _QUERIES, -2), torch.split(keep_mask, _QUERIES, -2), strict=True
        )
    ]
    return torch.cat([output for output, _ in blocks], -2), torch.cat([weights for _, weights in blocks], -2)


def _elementwise_block(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor) -> tuple[Tensor, Tensor]:
    attn_scores = (query[..., :, None, :] * key[..., None, :, :]).sum(-1) / query.shape[-1] ** 0.5
    attn_scores = attn_scores.masked_fill(~keep_mask, torch.finfo(query.dtype).min)
    exponentials = (attn_scores - attn_scores.amax(-1, keepdim=True)).exp()
    total = exponentials.sum(-1, keepdim=True)
    attn_output = (exponentials[..., None] * value[..., None, :, :]).sum(-2) / total
    return attn_output, exponentials / total


def _log_domain(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor, **_: object) -> tuple[Tensor, Tensor]:
    attn_scores = torch.einsum("bhqd,bhkd->bhqk", query, key) / query.shape[-1] ** 0.5
    attn_scores = attn_scores.masked_fill(~keep_mask, torch.finfo(query.dtype).min)
    attn_weights = (attn_scores - attn_scores.logsumexp(-1, keepdim=True)).exp()
    return torch.einsum("bhqk,bhkd->bhqd", attn_weights, value), attn_weights


EVALUATION_ORDERS: tuple[AttentionLike, ...] = (
    _plain,
    _scaled_query,
    _split_scaling,
    _reversed_sums,
    _elementwise,
    _log_domain,
)
