"""Dropout, estimated from outputs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from pytest_attn_grader.attention.dropout import effective_weights, estimate_dropout, is_zero_or_scaled
from pytest_attn_grader.attention.probes import SPEC_BY_NAME, Probe, build_probe, in_float64, max_abs
from pytest_attn_grader.attention.reference import reference_attention


def probe_named(name: str = "unpadded") -> Probe:
    return build_probe(SPEC_BY_NAME[name], seed=0)


def test_effective_weights_are_those_that_made_the_output() -> None:
    probe = in_float64(probe_named())
    output, weights = reference_attention(probe.query, probe.key, probe.value, probe.keep_mask)
    found = effective_weights(output, probe)
    assert found is not None
    torch.testing.assert_close(found[0], weights, atol=1e-9, rtol=0)
    assert max_abs(found[1]) < 1e-9


def test_what_is_no_weighted_sum_of_the_values_is_left_over() -> None:
    probe = in_float64(probe_named())
    found = effective_weights(probe.query, probe)
    assert found is not None
    weights, rest = found
    torch.testing.assert_close(weights @ probe.value + rest, probe.query)
    assert max_abs(rest @ probe.value.mT) < 1e-9  # orthogonal to all values
    assert max_abs(rest) > 0.1


def test_effective_weights_are_not_asked_where_they_are_not_determined() -> None:
    assert effective_weights(probe_named("square").query, probe_named("square")) is None
    assert effective_weights(probe_named().query[..., :1], probe_named()) is None


@pytest.mark.parametrize("name", ["basic", "left-padding", "unpadded", "single"])
@pytest.mark.parametrize("dropout_p", [0.1, 0.3, 0.9])
def test_weights_that_were_dropped_are_recognised(name: str, dropout_p: float) -> None:
    probe = probe_named(name)
    _, weights = reference_attention(probe.query, probe.key, probe.value, probe.keep_mask)
    torch.manual_seed(0)
    dropout = estimate_dropout(F.dropout(weights, dropout_p) @ probe.value, weights, probe)
    assert dropout is not None
    assert dropout.matches(dropout_p)
    assert dropout.shared_by == ()
    assert not any(dropout.matches(other) for other in (0.1, 0.3, 0.9) if other != dropout_p)


@pytest.mark.parametrize("dropout_p", [0.1, 0.3])
def test_dropout_on_the_output_too_is_left_out_of_the_solution(dropout_p: float) -> None:
    probe = probe_named("basic")
    _, weights = reference_attention(probe.query, probe.key, probe.value, probe.keep_mask)
    torch.manual_seed(0)
    dropout = estimate_dropout(F.dropout(F.dropout(weights, dropout_p) @ probe.value, dropout_p), weights, probe)
    assert dropout is not None
    assert dropout.matches(dropout_p)
    assert dropout.output_share == pytest.approx(dropout_p, abs=0.05)


@pytest.mark.parametrize(
    ("shape", "shared_by"),
    [((3, 1, 10, 10), ("heads",)), ((3, 5, 1, 10), ("queries",)), ((1, 5, 10, 10), ("examples",))],
)
def test_random_numbers_that_are_shared(shape: tuple[int, ...], shared_by: tuple[str, ...]) -> None:
    probe = probe_named("unpadded")
    _, weights = reference_attention(probe.query, probe.key, probe.value, probe.keep_mask)
    keep = torch.rand(shape, generator=torch.Generator().manual_seed(0)) >= 0.3
    dropout = estimate_dropout((weights * keep / 0.7) @ probe.value, weights, probe)
    assert dropout is not None
    assert dropout.shared_by == shared_by


@pytest.mark.parametrize(
    ("factor", "share"), [(lambda p: 1.0, lambda p: p), (lambda p: 1 / p, lambda p: 1 - p)], ids=["no factor", "kept p"]
)
def test_another_factor_or_share(factor: object, share: object) -> None:
    assert callable(factor)
    assert callable(share)
    probe = probe_named("basic")
    _, weights = reference_attention(probe.query, probe.key, probe.value, probe.keep_mask)
    keep = torch.rand(weights.shape, generator=torch.Generator().manual_seed(0)) >= share(0.3)
    dropout = estimate_dropout((weights * keep * factor(0.3)) @ probe.value, weights, probe)
    assert dropout is not None
    assert not dropout.matches(0.3)
    assert dropout.has_share(share(0.3))
    assert dropout.has_factor(factor(0.3))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda weights, value: weights @ value,
        lambda weights, value: F.dropout(weights @ value, 0.5),
        lambda weights, value: F.dropout(weights.roll(1, dims=1), 0.5) @ value,
        lambda weights, value: F.dropout(weights, 0.5) @ value + 0.1,
        lambda weights, value: F.dropout(weights, 0.5) @ value * torch.rand(10, 1),
    ],
    ids=["nothing dropped", "the output", "other heads", "an offset", "a factor for every row"],
)
def test_anything_else_is_not(spoil: object) -> None:
    probe = probe_named("basic")
    _, weights = reference_attention(probe.query, probe.key, probe.value, probe.keep_mask)
    torch.manual_seed(0)
    assert callable(spoil)
    assert estimate_dropout(spoil(weights, probe.value), weights, probe) is None


def test_weights_of_another_shape_cannot_be_compared() -> None:
    probe = probe_named()
    output, weights = reference_attention(probe.query, probe.key, probe.value, probe.keep_mask)
    assert estimate_dropout(output, weights[:, :1], probe) is None
    assert estimate_dropout(output, None, probe) is None


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        ([0.0, 2.0, 2.0], True),
        ([0.0, 1.0, 1.0], True),
        ([0.0, 2.0, 1.9], False),
        ([0.0, -2.0, -2.0], False),
        ([2.0, 2.0], False),
        ([0.0, 0.0], False),
        ([0.0, float("nan"), 2.0], False),
        ([], False),
    ],
)
def test_zero_or_one_factor(ratio: list[float], expected: bool) -> None:
    assert is_zero_or_scaled(Tensor(ratio)) is expected
