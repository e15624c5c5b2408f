"""What dropout leaves behind is read off the output."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from pytest_attn_grader.attention.dropout import effective_weights, has_dropped_weights, is_zero_or_enlarged
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
@pytest.mark.parametrize("dropout_p", [0.1, 0.5, 0.9])
def test_weights_that_were_dropped_are_recognised(name: str, dropout_p: float) -> None:
    probe = probe_named(name)
    _, weights = reference_attention(probe.query, probe.key, probe.value, probe.keep_mask)
    torch.manual_seed(0)
    assert has_dropped_weights(F.dropout(weights, dropout_p) @ probe.value, weights, probe)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda weights, value: weights @ value,
        lambda weights, value: F.dropout(weights @ value, 0.5),
        lambda weights, value: (weights * (torch.rand_like(weights) < 0.5)) @ value,
        lambda weights, value: F.dropout(weights.roll(1, dims=1), 0.5) @ value,
        lambda weights, value: F.dropout(weights, 0.5) @ value + 0.1,
        lambda weights, value: F.dropout(weights, 0.5) @ value * torch.rand(10, 1),
    ],
    ids=["nothing dropped", "the output", "not enlarged", "other heads", "an offset", "rows of their own factor"],
)
def test_anything_else_is_not(spoil: object) -> None:
    probe = probe_named("basic")
    _, weights = reference_attention(probe.query, probe.key, probe.value, probe.keep_mask)
    torch.manual_seed(0)
    assert callable(spoil)
    assert not has_dropped_weights(spoil(weights, probe.value), weights, probe)


def test_weights_of_another_shape_are_no_yardstick() -> None:
    probe = probe_named()
    output, weights = reference_attention(probe.query, probe.key, probe.value, probe.keep_mask)
    assert not has_dropped_weights(output, weights[:, :1], probe)
    assert not has_dropped_weights(output, None, probe)


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        ([0.0, 2.0, 2.0], True),
        ([0.0, 2.0, 1.9], False),
        ([2.0, 2.0], False),
        ([0.0, 0.0], False),
        ([0.0, 1.0, 1.0], False),
        ([0.0, float("nan"), 2.0], False),
        ([], False),
    ],
)
def test_zero_or_one_factor(ratio: list[float], expected: bool) -> None:
    assert is_zero_or_enlarged(Tensor(ratio)) is expected
