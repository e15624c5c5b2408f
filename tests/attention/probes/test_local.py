from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from pytest_attn_grader.attention.probes import InProcessAttention, Probe, ProbeResult, in_train_mode
from pytest_attn_grader.attention.reference import reference_attention
from tests.attention.probes.samples import basic


def plain(
    query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor | None = None, **_: Any
) -> tuple[Tensor, Tensor]:
    return reference_attention(query, key, value, keep_mask)


def run_probe(function: Any, probe: Probe) -> ProbeResult:
    return InProcessAttention(function).run_probe(probe)


def test_a_record_holds_values_and_gradients() -> None:
    probe = basic("single")
    record = run_probe(plain, probe)
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
    record = run_probe(plain, basic("left-padding"))
    assert record.gradients == {}
    assert record.output_requires_grad is False


def test_a_gradient_that_is_not_there_is_none_and_not_zero() -> None:
    detached = run_probe(lambda q, k, v, m, **_: (plain(q.detach(), k, v, m)[0], None), basic("single"))
    assert detached.gradients["query"] is None
    assert detached.gradients["key"] is not None
    assert not detached.weights_returned
    assert detached.attn_weights is None
    nowhere = run_probe(lambda q, k, v, m, **_: plain(q.detach(), k.detach(), v.detach(), m), basic("single"))
    assert nowhere.gradients == dict.fromkeys(("query", "key", "value"))
    assert nowhere.output_requires_grad is False
    zero = run_probe(lambda q, k, v, m, **_: plain(q * 0, k, v, m), basic("single"))
    assert zero.gradients["query"] is not None
    assert not zero.gradients["query"].any()


def test_what_was_done_to_the_inputs_is_seen_and_the_probe_stays() -> None:
    probe = basic("single")
    before = {name: tensor.clone() for name, tensor in probe.inputs.items()}

    def rude(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor, **_: Any) -> tuple[Tensor, None]:
        key.mul_(2)
        keep_mask.fill_(True)
        return query * 1, None

    record = run_probe(rude, probe)
    assert torch.equal(record.inputs_after["key"], before["key"] * 2)
    assert torch.equal(record.inputs_after["query"], before["query"])
    assert record.inputs_after["keep_mask"].all()
    assert not probe.keep_mask.all()
    assert all(torch.equal(tensor, before[name]) for name, tensor in probe.inputs.items())


def test_dropout_is_seeded_by_the_probe_and_by_nothing_else() -> None:
    training = in_train_mode(basic("single"), 0.5)
    torch.manual_seed(1)
    one = run_probe(reference_attention, training).attn_output
    state = torch.get_rng_state()
    torch.manual_seed(2)
    other = run_probe(reference_attention, training).attn_output
    assert one is not None
    assert other is not None
    assert torch.equal(one, other)
    third = run_probe(reference_attention, replace(training, seed=training.seed + 1)).attn_output
    assert third is not None
    assert not torch.equal(one, third)
    torch.manual_seed(1)
    assert torch.equal(state, torch.get_rng_state())
