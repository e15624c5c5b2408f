from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_attn_grader.attention.probes import (
    PROBE_SPECS,
    SPEC_BY_NAME,
    InProcessAttention,
    build_probe,
    in_train_mode,
    max_abs_error,
)
from pytest_attn_grader.attention.tolerances import FACTOR, FLOOR_EPS, derive_tolerance

seeds = st.integers(0, 2**31)
names = st.sampled_from([spec.name for spec in PROBE_SPECS])
honest = settings(max_examples=15, deadline=None)


def _scores(query, key):
    return query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5


def online_softmax(query, key, value, keep_mask, **_):
    """Three keys at a time, with a running maximum and a running sum."""
    lowest = torch.finfo(query.dtype).min
    peak = torch.full((*query.shape[:-1], 1), lowest, dtype=query.dtype)
    total, output = torch.zeros_like(peak), torch.zeros_like(query)
    for start in range(0, key.shape[-2], 3):
        block = slice(start, start + 3)
        scores = _scores(query, key[..., block, :]).masked_fill(~keep_mask[..., block], lowest)
        new_peak = torch.maximum(peak, scores.amax(-1, keepdim=True))
        shares, correction = (scores - new_peak).exp(), (peak - new_peak).exp()
        total = total * correction + shares.sum(-1, keepdim=True)
        output = output * correction + shares @ value[..., block, :]
        peak = new_peak
    return output / total, None


def epsilon_in_the_denominator(query, key, value, keep_mask, **_):
    scores = _scores(query, key).masked_fill(~keep_mask, -1e4)
    shares = (scores - scores.amax(-1, keepdim=True)).exp()
    weights = shares / (shares.sum(-1, keepdim=True) + 1e-6)
    return weights @ value, weights


def float64_inside(query, key, value, keep_mask, **_):
    scores = _scores(query.double(), key.double()).masked_fill(~keep_mask, -1e4)
    weights = scores.softmax(-1)
    return (weights @ value.double()).to(query.dtype), weights.to(query.dtype)


def fused(query, key, value, keep_mask, **_):
    return torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=keep_mask), None


def biased(query, key, value, keep_mask, **_):
    weights = (_scores(query, key) - 1e4).masked_fill(~keep_mask, float("-inf")).softmax(-1)
    return weights @ value, weights


def worst_ratio(attention, probe):
    """The largest error of an attention, as a multiple of what is allowed."""
    reference, known = derive_tolerance(probe)
    record = InProcessAttention(attention).run_probe(probe)
    ratios = [
        max_abs_error(getattr(record, name), getattr(reference, name), probe) / known.tolerance[name]
        for name in ("attn_output", "attn_weights")
        if getattr(record, name) is not None
    ]
    ratios += [
        float((gradient.double() - reference.gradients[name]).abs().max()) / known.tolerance[name]
        for name, gradient in record.gradients.items()
    ]
    return max(ratios)


@pytest.mark.parametrize("attention", [online_softmax, epsilon_in_the_denominator, float64_inside, fused])
@honest
@given(seed=seeds, name=names)
def test_no_right_attention_ever_fails(attention, seed, name):
    assert worst_ratio(attention, build_probe(SPEC_BY_NAME[name], seed=seed)) <= 1


@honest
@given(seed=seeds, name=st.sampled_from(["basic", "left-padding", "single", "square", "long", "narrow", "decode"]))
def test_a_constant_on_every_score_always_fails(seed, name):
    # It costs three decimals: the smallest fault that must not pass. Measured: 30 times the tolerance and more.
    assert worst_ratio(biased, build_probe(SPEC_BY_NAME[name], seed=seed)) > 10


@honest
@given(seed=seeds, name=names)
def test_the_tolerance_is_the_spread_times_the_factor_or_the_floor(seed, name):
    probe = build_probe(SPEC_BY_NAME[name], seed=seed)
    reference, known = derive_tolerance(probe)
    assert reference.attn_output.dtype == torch.float64
    assert known.tolerance.keys() == known.spread.keys()
    floor = FLOOR_EPS * torch.finfo(probe.query.dtype).eps
    for quantity, tolerance in known.tolerance.items():
        assert tolerance >= max(FACTOR * known.spread[quantity], floor)


def test_lower_precision_gets_a_wider_tolerance():
    narrow, wide = (
        derive_tolerance(build_probe(SPEC_BY_NAME[name], seed=1))[1].tolerance["attn_output"]
        for name in ("basic", "bfloat16")
    )
    assert narrow < 1e-4 < wide < 0.5


def test_gradients_have_tolerances_where_there_are_gradients():
    for name, expected in (("basic", {"query", "key", "value"}), ("long", set())):
        known = derive_tolerance(build_probe(SPEC_BY_NAME[name], seed=1))[1]
        assert known.tolerance.keys() - {"attn_output", "attn_weights"} == expected
        assert (known.probe, known.dtype) == (name, "float32")


def test_the_reference_of_a_probe_in_training_drops_nothing():
    probe = build_probe(SPEC_BY_NAME["basic"], seed=1)
    evaluated, training = (derive_tolerance(each)[0] for each in (probe, in_train_mode(probe, 0.5)))
    assert torch.equal(evaluated.attn_weights, training.attn_weights)
