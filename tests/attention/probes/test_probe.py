from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from pytest_attn_grader._utils import fork_cache
from pytest_attn_grader.attention.probes import PROBE_SPECS, SPEC_BY_NAME, ProbeSpec, build_probe, ignore_padding
from tests.attention.probes.samples import basic


def real_length(spec: ProbeSpec, example: int) -> int:
    """How many tokens of an example are real: a fifth less with every example."""
    padded = spec.key_len * (example + 1) // (spec.batch_size + 2)
    return spec.key_len if spec.padding == "none" else max(1, spec.key_len - padded)


@pytest.mark.parametrize("spec", PROBE_SPECS, ids=lambda spec: spec.name)
def test_shapes_and_types(spec: ProbeSpec) -> None:
    probe = build_probe(spec, seed=1)
    keys = (spec.batch_size, spec.num_heads, spec.key_len, spec.head_dim)
    assert tuple(probe.query.shape) == (*keys[:2], spec.query_len, spec.head_dim)
    assert tuple(probe.key.shape) == tuple(probe.value.shape) == keys
    assert {tensor.dtype for tensor in probe.inputs.values()} == {spec.dtype}
    assert probe.keep_mask.dtype == probe.real_rows.dtype == torch.bool
    assert tuple(probe.keep_mask.shape) == (spec.batch_size, 1, spec.query_len, spec.key_len)
    assert tuple(probe.real_rows.shape) == (spec.batch_size, spec.query_len)
    assert (probe.upstream is not None) == spec.gradients
    assert probe.upstream is None or probe.upstream.shape == probe.query.shape
    assert all(tensor.isfinite().all() for tensor in probe.inputs.values())
    assert not probe.training
    assert probe.dropout_p == 0


@pytest.mark.parametrize("spec", PROBE_SPECS, ids=lambda spec: spec.name)
def test_masks_token_by_token(spec: ProbeSpec) -> None:
    probe = build_probe(spec, seed=1)
    for example in range(spec.batch_size):
        length = real_length(spec, example)
        first = spec.key_len - length if spec.padding == "left" else 0
        real = range(first, first + length)
        for row in range(spec.query_len):
            position = spec.key_len - spec.query_len + row
            assert bool(probe.real_rows[example, row]) == (position in real)
            for key in range(spec.key_len):
                assert bool(probe.keep_mask[example, 0, row, key]) == (key <= position and key in real)


@pytest.mark.parametrize("spec", PROBE_SPECS, ids=lambda spec: spec.name)
def test_every_judged_row_may_attend_to_something(spec: ProbeSpec) -> None:
    probe = build_probe(spec, seed=1)
    assert probe.keep_mask.any(-1)[:, 0][probe.real_rows].all()
    assert probe.real_rows.any(-1).all()


@pytest.mark.parametrize("name", ["basic", "left-padding"])
def test_every_example_is_padded_each_differently(name: str) -> None:
    rows = basic(name).real_rows
    assert len({tuple(row) for row in rows.tolist()}) == 3
    assert not rows.all(-1).any()


def test_padded_rows_get_no_gradient_from_above() -> None:
    probe = basic()
    assert probe.upstream is not None
    for example, row in (~probe.real_rows).nonzero().tolist():
        assert not probe.upstream[example, :, row].any()
    for example, row in probe.real_rows.nonzero().tolist():
        assert probe.upstream[example, :, row].all()


def test_large_scores_are_in_the_hundreds() -> None:
    probe = basic("large-scores")
    scores = probe.query @ probe.key.mT / probe.query.shape[-1] ** 0.5
    assert 200 < scores.abs().max() < 1000
    assert scores.abs().mean() > 50


def test_the_seed_decides() -> None:
    first, same, other = basic(seed=1), basic(seed=1), basic(seed=2)
    assert all(torch.equal(first.inputs[name], same.inputs[name]) for name in first.inputs)
    assert not any(torch.equal(first.inputs[name], other.inputs[name]) for name in first.inputs)
    assert first.seed == same.seed != other.seed


def test_probes_differ_from_each_other_and_inputs_within_one() -> None:
    assert len({build_probe(spec, seed=1).seed for spec in PROBE_SPECS}) == len(PROBE_SPECS)
    probe = basic("unpadded")
    assert not torch.equal(probe.query, probe.key)
    assert not torch.equal(probe.key, probe.value)
    assert not torch.equal(basic("unpadded").key, basic("single").key[:, :, :10])


def test_every_precision_sees_the_same_numbers_up_to_rounding() -> None:
    spec = SPEC_BY_NAME["basic"]
    exact = build_probe(replace(spec, dtype=torch.float64), seed=3)
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        rounded = build_probe(replace(spec, dtype=dtype), seed=3)
        assert all(torch.equal(rounded.inputs[name], exact.inputs[name].to(dtype)) for name in exact.inputs)


def test_building_leaves_the_global_generator_alone() -> None:
    state = torch.get_rng_state()
    basic()
    assert torch.equal(state, torch.get_rng_state())


def test_shape_text() -> None:
    assert basic().shape_text == "batch 3, 5 heads, 10 tokens, head_dim 64"
    assert basic("chunk").shape_text == "batch 3, 5 heads, 4 of 10 tokens, head_dim 64"


@pytest.mark.parametrize("name", ["basic", "left-padding", "unpadded", "chunk"])
def test_an_encoder_s_mask_hides_the_padding_only(name: str) -> None:
    spec = SPEC_BY_NAME[name]
    causal, encoder = build_probe(spec, seed=1), build_probe(spec, seed=1, is_bidirectional=True)
    assert torch.equal(causal.query, encoder.query)
    assert torch.equal(causal.real_rows, encoder.real_rows)
    assert torch.equal(encoder.keep_mask, causal.keep_mask.any(-2, keepdim=True).expand_as(causal.keep_mask))
    assert encoder.is_bidirectional
    assert not causal.is_bidirectional
    assert bool(ignore_padding(encoder).keep_mask.all())


def test_in_a_class_a_probe_is_built_once() -> None:
    spec = SPEC_BY_NAME["basic"]
    alone = build_probe(spec, seed=1)
    assert build_probe(spec, seed=1) is not alone
    fork_cache.enable()
    try:
        first = build_probe(spec, seed=1)
        assert build_probe(spec, seed=1) is first
        assert first.fingerprint == alone.fingerprint
        others = [build_probe(spec, seed=2), build_probe(spec, seed=1, is_bidirectional=True)]
        assert len({first.fingerprint, *(other.fingerprint for other in others)}) == 3
    finally:
        fork_cache.disable()
