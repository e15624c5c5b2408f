from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pytest_attn_grader.attention.probes import (
    TRAIN_DROPOUT_P,
    VARIANTS,
    InProcessAttention,
    Probe,
    ProbeSpec,
    build_probe,
    in_float64,
    in_train_mode,
    last_queries,
    make_variant,
    max_abs_error,
    perturb_future,
    perturb_padding,
    perturb_past,
    without_gradients,
)
from pytest_attn_grader.attention.reference import reference_attention
from tests.attention.probes.samples import SPECS, basic


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
        output = InProcessAttention(reference_attention).run_probe(without_gradients(probe)).attn_output
        padded = InProcessAttention(reference_attention).run_probe(perturb_padding(probe)).attn_output
        future = InProcessAttention(reference_attention).run_probe(perturb_future(probe, 5)).attn_output
        assert output is not None
        assert padded is not None
        assert future is not None
        assert max_abs_error(padded, output, probe) < 1e-12
        early = probe.real_rows & (torch.arange(10) < 5)
        assert max_abs_error(future, output, replace(probe, real_rows=early)) < 1e-12
        assert max_abs_error(future, output, probe) > 0.1
        past = InProcessAttention(reference_attention).run_probe(perturb_past(probe, 5)).attn_output
        assert past is not None
        late = probe.real_rows & (torch.arange(10) >= 5)
        assert max_abs_error(past, output, replace(probe, real_rows=late)) > 0.1


@pytest.mark.parametrize("query_len", [1, 4])
def test_the_last_queries_ask_the_same_as_in_the_whole_text(query_len: int) -> None:
    probe = basic("unpadded")
    last = last_queries(probe, query_len)
    whole, _ = reference_attention(probe.query, probe.key, probe.value, probe.keep_mask)
    part, _ = reference_attention(last.query, last.key, last.value, last.keep_mask)
    assert tuple(last.query.shape) == (3, 5, query_len, 48)
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
    assert (made["dropout-off"].dropout_p, made["dropout-off"].training) == (TRAIN_DROPOUT_P, False)
    own = make_variant(probe, "dropout-default-0.2")
    assert (own.dropout_p, own.training) == (0.2, False)
    assert torch.equal(make_variant(probe, "again").query, probe.query)
    assert torch.equal(made["dropout-off"].query, probe.query)
    assert set(made) == {"again", "other-future", "other-past", "other-padding", "last-1", "last-4", "dropout-off"}
