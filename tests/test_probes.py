from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import isnan
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pytest_attn_grader.probes import (
    PROBE_SPECS,
    SPEC_BY_NAME,
    VARIANTS,
    LocalAttention,
    Probe,
    ProbeSpec,
    Record,
    at_length,
    build_probe,
    in_float64,
    in_train_mode,
    judged_rows,
    largest_error,
    largest_size,
    last_queries,
    perturb_future,
    perturb_padding,
    perturb_past,
    without_gradients,
)
from pytest_attn_grader.reference import reference_attention

INF, NAN = float("inf"), float("nan")
SPECS = st.builds(
    ProbeSpec,
    st.just("any"),
    st.just("any"),
    batch_size=st.integers(1, 4),
    num_heads=st.integers(1, 3),
    query_len=st.integers(1, 9),
    head_dim=st.integers(1, 8),
    padding=st.sampled_from(["none", "right", "left"]),
    gradients=st.booleans(),
).map(lambda spec: replace(spec, key_len=spec.query_len))


def basic(name: str = "basic", seed: int = 0) -> Probe:
    return build_probe(SPEC_BY_NAME[name], seed=seed)


def real_length(spec: ProbeSpec, example: int) -> int:
    """Full, two thirds, a third: how many tokens of an example are no padding."""
    return spec.key_len if spec.padding == "none" else max(1, spec.key_len - spec.key_len * example // 3)


# --- what a probe is --------------------------------------------------------------------------------------------------


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
def test_no_two_examples_are_padded_alike(name: str) -> None:
    assert len({tuple(rows) for rows in basic(name).real_rows.tolist()}) == 3


def test_padded_rows_get_no_gradient_from_above() -> None:
    probe = basic()
    assert probe.upstream is not None
    for example, row in (~probe.real_rows).nonzero().tolist():
        assert not probe.upstream[example, :, row].any()
    for example, row in probe.real_rows.nonzero().tolist():
        assert probe.upstream[example, :, row].all()


def test_names_are_unique_and_shapes_hide_no_coincidence() -> None:
    assert len(SPEC_BY_NAME) == len(PROBE_SPECS)
    spec = SPEC_BY_NAME["basic"]
    sizes = [spec.batch_size, spec.num_heads, spec.query_len, spec.head_dim]
    assert len(set(sizes)) == 4
    # A module that unpacks a tuple of two takes a batch of two for one.
    assert all(each.batch_size != 2 for each in PROBE_SPECS)


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
    assert basic().shape_text == "batch 3, 4 heads, 10 tokens, head_dim 64"
    assert basic("chunk").shape_text == "batch 3, 4 heads, 4 of 10 tokens, head_dim 64"


# --- the same inputs in another form ----------------------------------------------------------------------------------


@given(SPECS, st.data())
def test_another_future_leaves_the_past_bit_by_bit(spec: ProbeSpec, data: st.DataObject) -> None:
    probe = build_probe(spec, seed=5)
    first = data.draw(st.integers(0, spec.key_len))
    other = perturb_future(probe, first)
    for name, tensor in probe.inputs.items():
        changed = other.inputs[name]
        assert torch.equal(changed[..., :first, :], tensor[..., :first, :])
        assert (changed[..., first:, :] != tensor[..., first:, :]).all()
    assert torch.equal(other.keep_mask, probe.keep_mask)
    assert torch.equal(other.real_rows, probe.real_rows)
    assert (other.first_changed, other.upstream, other.name) == (first, None, "any-future")


@given(SPECS, st.data())
def test_another_past_leaves_the_future_bit_by_bit(spec: ProbeSpec, data: st.DataObject) -> None:
    probe = build_probe(spec, seed=5)
    first = data.draw(st.integers(0, spec.key_len))
    other = perturb_past(probe, first)
    for name, tensor in probe.inputs.items():
        changed = other.inputs[name]
        assert torch.equal(changed[..., first:, :], tensor[..., first:, :])
        assert (changed[..., :first, :] != tensor[..., :first, :]).all()
    assert torch.equal(other.keep_mask, probe.keep_mask)
    assert torch.equal(other.real_rows, probe.real_rows)
    assert (other.first_kept, other.upstream, other.name) == (first, None, "any-past")


@pytest.mark.parametrize(("perturb", "replaced"), [(perturb_future, slice(5, None)), (perturb_past, slice(5))])
def test_other_tokens_are_large_and_always_the_same(perturb: Callable[[Probe, int], Probe], replaced: slice) -> None:
    probe = basic("unpadded")
    once, twice = perturb(probe, 5), perturb(probe, 5)
    assert torch.equal(once.key, twice.key)
    assert 2 < float(once.key[..., replaced, :].std()) < 4


@given(SPECS)
def test_other_padding_leaves_real_tokens_bit_by_bit(spec: ProbeSpec) -> None:
    probe = build_probe(spec, seed=5)
    other = perturb_padding(probe)
    for name, tensor in probe.inputs.items():
        changed = (other.inputs[name] != tensor).any(-1).any(1)  # (batch, seq)
        assert torch.equal(changed, ~probe.real_rows)
    assert torch.equal(other.keep_mask, probe.keep_mask)


def test_the_reference_notices_the_past_and_nothing_else() -> None:
    for name in ("basic", "left-padding"):
        probe = in_float64(basic(name))
        output = LocalAttention(reference_attention).attempt(without_gradients(probe)).attn_output
        padded = LocalAttention(reference_attention).attempt(perturb_padding(probe)).attn_output
        future = LocalAttention(reference_attention).attempt(perturb_future(probe, 5)).attn_output
        assert output is not None
        assert padded is not None
        assert future is not None
        assert largest_error(padded, output, probe) < 1e-12
        early = probe.real_rows & (torch.arange(10) < 5)
        assert largest_error(future, output, replace(probe, real_rows=early)) < 1e-12
        assert largest_error(future, output, probe) > 0.1
        past = LocalAttention(reference_attention).attempt(perturb_past(probe, 5)).attn_output
        assert past is not None
        late = probe.real_rows & (torch.arange(10) >= 5)
        assert largest_error(past, output, replace(probe, real_rows=late)) > 0.1


@pytest.mark.parametrize("query_len", [1, 4])
def test_the_last_queries_ask_the_same_as_in_the_whole_text(query_len: int) -> None:
    probe = basic("unpadded")
    last = last_queries(probe, query_len)
    whole, _ = reference_attention(probe.query, probe.key, probe.value, probe.keep_mask)
    part, _ = reference_attention(last.query, last.key, last.value, last.keep_mask)
    assert tuple(last.query.shape) == (3, 4, query_len, 64)
    assert tuple(last.real_rows.shape) == (3, query_len)
    torch.testing.assert_close(part, whole[..., -query_len:, :])
    assert last.query.is_contiguous()
    assert last.keep_mask.is_contiguous()


def test_small_changes() -> None:
    probe = basic()
    assert without_gradients(probe).upstream is None
    double = in_float64(probe)
    assert {double.query.dtype, double.key.dtype, double.value.dtype} == {torch.float64}
    assert double.upstream is not None
    assert double.upstream.dtype == torch.float64
    assert torch.equal(double.query.float(), probe.query)
    training = in_train_mode(probe, 0.3)
    assert (training.dropout_p, training.training, training.upstream) == (0.3, True, None)
    assert training.name != probe.name


def test_variants_by_name() -> None:
    probe = basic("unpadded")
    made = {name: variant(probe) for name, variant in VARIANTS.items()}
    assert torch.equal(made["again"].query, probe.query)
    assert made["other-future"].first_changed == made["other-past"].first_kept == 5
    assert (made["last-1"].query.shape[-2], made["last-4"].query.shape[-2]) == (1, 4)
    assert (made["dropout-off"].dropout_p, made["dropout-off"].training) == (0.5, False)
    assert torch.equal(made["dropout-off"].query, probe.query)
    assert set(made) == {"again", "other-future", "other-past", "other-padding", "last-1", "last-4", "dropout-off"}


def test_at_length() -> None:
    spec = at_length(SPEC_BY_NAME["basic"], 1)
    assert (spec.query_len, spec.key_len, spec.batch_size, spec.num_heads) == (1, 1, 1, 2)
    assert (spec.padding, spec.gradients, spec.name) == ("none", False, "length-1")
    assert build_probe(spec, seed=0).real_rows.all()


# --- judging ----------------------------------------------------------------------------------------------------------


@given(SPECS)
def test_judged_rows_one_by_one(spec: ProbeSpec) -> None:
    probe = build_probe(spec, seed=7)
    rows = [probe.query[example, :, row] for example, row in probe.real_rows.nonzero().tolist()]
    assert torch.equal(judged_rows(probe.query, probe), torch.stack(rows))


@given(SPECS, st.data())
def test_largest_error_is_the_largest(spec: ProbeSpec, data: st.DataObject) -> None:
    probe = build_probe(spec, seed=7)
    student = probe.query + torch.randn_like(probe.query)
    expected = 0.0
    for example in range(spec.batch_size):
        for row in range(spec.query_len):
            if probe.real_rows[example, row]:
                one, other = student[example, :, row].double(), probe.query[example, :, row].double()
                expected = max(expected, float((one - other).abs().max()))
    assert largest_error(student, probe.query, probe) == expected


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_a_number_that_is_none_is_infinitely_far(bad: float) -> None:
    probe = basic()
    student = probe.query.clone()
    student[0, 0, 0, 0] = bad
    assert largest_error(student, probe.query, probe) == INF


def test_padded_rows_may_hold_anything() -> None:
    probe = basic()
    student = probe.query.clone()
    student.transpose(1, 2)[~probe.real_rows] = NAN
    assert largest_error(student, probe.query, probe) == 0.0
    student[0, 0, 0, 0] = NAN
    assert largest_error(student, probe.query, probe) == INF


def test_another_shape_is_infinitely_far() -> None:
    probe = basic()
    assert largest_error(probe.query[..., :1], probe.query, probe) == INF
    assert largest_error(probe.query.transpose(1, 2), probe.query, probe) == INF


def test_nothing_to_judge_is_no_error() -> None:
    probe = basic()
    nobody = replace(probe, real_rows=torch.zeros_like(probe.real_rows))
    assert largest_error(probe.query + 1, probe.query, nobody) == 0.0


def test_largest_error_is_taken_in_double_precision() -> None:
    probe = basic("float16")
    # Two float16 numbers whose difference overflows float16.
    assert largest_error(torch.full_like(probe.query, 6e4), torch.full_like(probe.query, -6e4), probe) == 120000.0


@given(st.lists(st.floats(allow_nan=True, width=32), max_size=6))
def test_largest_size(numbers: list[float]) -> None:
    expected = max((INF if isnan(number) else abs(number) for number in numbers), default=0.0)
    assert largest_size(torch.tensor(numbers, dtype=torch.float32)) == expected


# --- our own attention put to a probe ---------------------------------------------------------------------------------


def plain(
    query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor | None = None, **_: Any
) -> tuple[Tensor, Tensor]:
    return reference_attention(query, key, value, keep_mask)


def attempt(function: Any, probe: Probe) -> Record:
    return LocalAttention(function).attempt(probe)


def test_a_record_holds_values_and_gradients() -> None:
    probe = basic("single")
    record = attempt(plain, probe)
    leaves = [tensor.clone().requires_grad_() for tensor in probe.inputs.values()]
    output, weights = reference_attention(*leaves, probe.keep_mask)
    expected = torch.autograd.grad(output, leaves, probe.upstream)
    assert record.attn_output is not None
    assert torch.equal(record.attn_output, output)
    assert record.attn_weights is not None
    assert torch.equal(record.attn_weights, weights)
    assert not record.attn_output.requires_grad
    assert record.output_requires_grad
    assert record.weights_returned
    for name, gradient in zip(probe.inputs, expected, strict=True):
        assert torch.equal(record.gradients[name], gradient)  # type: ignore[arg-type]


def test_without_upstream_there_are_no_gradients() -> None:
    record = attempt(plain, basic("unpadded"))
    assert record.gradients == {}
    assert record.output_requires_grad is False


def test_a_gradient_that_is_not_there_is_none_and_not_zero() -> None:
    detached = attempt(lambda q, k, v, m, **_: (plain(q.detach(), k, v, m)[0], None), basic("single"))
    assert detached.gradients["query"] is None
    assert detached.gradients["key"] is not None
    assert not detached.weights_returned
    assert detached.attn_weights is None
    nowhere = attempt(lambda q, k, v, m, **_: plain(q.detach(), k.detach(), v.detach(), m), basic("single"))
    assert nowhere.gradients == dict.fromkeys(("query", "key", "value"))
    assert nowhere.output_requires_grad is False
    zero = attempt(lambda q, k, v, m, **_: plain(q * 0, k, v, m), basic("single"))
    assert zero.gradients["query"] is not None
    assert not zero.gradients["query"].any()


def test_what_was_done_to_the_inputs_is_seen_and_the_probe_stays() -> None:
    probe = basic("single")
    before = {name: tensor.clone() for name, tensor in probe.inputs.items()}

    def rude(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor, **_: Any) -> tuple[Tensor, None]:
        key.mul_(2)
        keep_mask.fill_(True)
        return query * 1, None

    record = attempt(rude, probe)
    assert torch.equal(record.inputs_after["key"], before["key"] * 2)
    assert torch.equal(record.inputs_after["query"], before["query"])
    assert record.inputs_after["keep_mask"].all()
    assert not probe.keep_mask.all()
    assert all(torch.equal(tensor, before[name]) for name, tensor in probe.inputs.items())


def test_dropout_is_seeded_by_the_probe_and_by_nothing_else() -> None:
    training = in_train_mode(basic("single"), 0.5)
    torch.manual_seed(1)
    one = attempt(reference_attention, training).attn_output
    state = torch.get_rng_state()
    torch.manual_seed(2)
    other = attempt(reference_attention, training).attn_output
    assert one is not None
    assert other is not None
    assert torch.equal(one, other)
    third = attempt(reference_attention, replace(training, seed=training.seed + 1)).attn_output
    assert third is not None
    assert not torch.equal(one, third)
    torch.manual_seed(1)
    assert torch.equal(state, torch.get_rng_state())
