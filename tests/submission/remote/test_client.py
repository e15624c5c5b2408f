"""Autograd of this process runs through the worker, and replies are checked before anyone believes them."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from pytest_attn_grader.submission.remote.arguments import TensorRef
from pytest_attn_grader.submission.remote.client import SandboxClient
from pytest_attn_grader.submission.remote.messages import CallSpec
from tests.submission.worker.test_operations import SOURCE, local_attention, make_inputs
from tests.support.sandboxes import make_worker, serving

ARGUMENTS = tuple((name, TensorRef(name)) for name in ("query", "key", "value", "mask"))


ATTENTION = CallSpec("attention", ARGUMENTS)


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxClient]:
    with serving(tmp_path_factory.mktemp("submission"), SOURCE) as made:
        yield made


def test_gradients_flow_through_both_outputs(remote: SandboxClient) -> None:
    inputs = make_inputs()
    leaves = [inputs[name].clone().requires_grad_() for name in ("query", "key", "value")]
    # Non-contiguous, as GPT-2's query is, and not a leaf.
    query = (leaves[0] * 2).transpose(1, 2).contiguous().transpose(1, 2)
    call = remote.call_with_autograd(
        ATTENTION, {"query": query, "key": leaves[1], "value": leaves[2], "mask": inputs["mask"]}
    )
    loss = call.tensors["result.0"].sin().sum() + call.tensors["result.1"].square().sum()
    found = torch.autograd.grad(loss, leaves)

    output, weights = local_attention(leaves[0] * 2, leaves[1], leaves[2], inputs["mask"])
    expected = torch.autograd.grad(output.sin().sum() + weights.square().sum(), leaves)
    for each, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(each, wanted)


@pytest.mark.parametrize(("target", "rank"), [("attention", 4), ("only_3d", 3), ("only_2d", 2)])
def test_gradcheck_in_float64(remote: SandboxClient, target: str, rank: int) -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(2, 2, 3, 4, dtype=torch.float64, generator=generator, requires_grad=True) for _ in range(3)]
    mask = torch.ones(1, 1, 3, 3, dtype=torch.bool).tril()
    spec = CallSpec(target, ARGUMENTS, rank=rank)

    def apply(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(
            remote.call_with_autograd(spec, {"query": query, "key": key, "value": value, "mask": mask}).tensors.values()
        )

    assert torch.autograd.gradcheck(apply, inputs)


def test_a_missing_gradient_stays_missing(remote: SandboxClient) -> None:
    inputs = make_inputs()
    leaves = {name: inputs[name].requires_grad_() for name in ("query", "key", "value")}
    result = remote.call_with_autograd(CallSpec("ignores_value", ARGUMENTS), inputs).tensors["result"]
    query, key, value = torch.autograd.grad(result.sum(), list(leaves.values()), allow_unused=True)
    assert value is None
    assert key is not None
    assert query is not None


def test_a_detached_result_requires_no_gradient(remote: SandboxClient) -> None:
    inputs = make_inputs()
    inputs["query"].requires_grad_()
    call = remote.call_with_autograd(CallSpec("detaches", ARGUMENTS), inputs)
    assert not call.tensors["result.0"].requires_grad
    inputs["value"].requires_grad_()
    call = remote.call_with_autograd(CallSpec("detaches", ARGUMENTS), inputs)
    assert call.tensors["result.0"].requires_grad
    assert not call.tensors["result.1"].requires_grad


def test_without_gradients_no_graph_is_kept(remote: SandboxClient) -> None:
    inputs = make_inputs()
    assert remote.call_with_autograd(ATTENTION, inputs).handle is None
    inputs["query"].requires_grad_()
    with torch.no_grad():
        assert not remote.call_with_autograd(ATTENTION, inputs).tensors["result.0"].requires_grad


def test_graphs_die_in_the_worker_when_they_die_here(remote: SandboxClient) -> None:
    inputs = make_inputs()
    inputs["query"].requires_grad_()
    remote._take_released()
    kept = remote.call_with_autograd(ATTENTION, inputs).tensors["result.0"]
    kept.sum().backward(retain_graph=True)
    kept.sum().backward()
    assert not remote._released
    del kept
    gc.collect()
    assert len(remote._released) == 1
    remote.call_with_autograd(ATTENTION, inputs)
    gc.collect()
    assert len(remote._released) == 1


def test_a_second_derivative_is_refused_in_words(remote: SandboxClient) -> None:
    inputs = make_inputs()
    query = inputs["query"].requires_grad_()
    result = remote.call_with_autograd(ATTENTION, inputs).tensors["result.0"]
    (gradient,) = torch.autograd.grad(result.square().sum(), query, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_nothing_is_called_before_it_is_described(tmp_path: Path) -> None:
    with SandboxClient(lambda: make_worker(tmp_path)) as fresh, pytest.raises(RuntimeError, match="describe"):
        fresh.call(ATTENTION, make_inputs())
    with pytest.raises(RuntimeError, match="closed"):
        fresh.call(ATTENTION, make_inputs())


@pytest.mark.slow
def test_forward_and_backward_take_milliseconds(remote: SandboxClient) -> None:
    generator = torch.Generator().manual_seed(0)
    leaves = [torch.randn(1, 12, 6, 64, generator=generator, requires_grad=True) for _ in range(3)]
    inputs = dict(zip(("query", "key", "value"), leaves, strict=True))
    mask = torch.ones(6, 6, dtype=torch.bool).tril()
    best = float("inf")
    for _ in range(50):
        started = time.perf_counter()
        remote.call_with_autograd(ATTENTION, inputs | {"mask": mask}).tensors["result.0"].sum().backward()
        best = min(best, time.perf_counter() - started)
    assert best < 0.02
