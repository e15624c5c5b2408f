"""Values, gradients and inputs of a call equal those of the same call here."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.models.devices import one_thread
from pytest_attn_grader.submission.remote.arguments import LiteralArgument, TensorRef
from pytest_attn_grader.submission.remote.client import SandboxClient
from pytest_attn_grader.submission.remote.messages import CallSpec
from tests.support.sandboxes import serving

SOURCE = """
import concurrent.futures
import math
import threading
import traceback
import torch
import torch.nn.functional as F
from torch.nn.functional import scaled_dot_product_attention as my_own

def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = scores.softmax(-1)
    return weights @ value, weights

STACKS = []
traceback.format_stack = lambda *_: STACKS.append(1) or []

def stacks(query, key, value, mask=None):
    return torch.tensor(float(len(STACKS)))

def only_3d(query, key, value, mask=None):
    assert query.dim() == key.dim() == value.dim() == mask.dim() == 3
    assert query.is_contiguous() and mask.size(0) == query.size(0)
    return attention(query, key, value, mask)

def only_2d(query, key, value, mask=None):
    assert query.dim() == key.dim() == value.dim() == mask.dim() == 2
    return attention(query, key, value, mask)[0]

def ignores_value(query, key, value, mask=None):
    return query * 2 + 0 * key

def detaches(query, key, value, mask=None):
    return attention(query.detach(), key, value, mask)

def writes(query, key, value, mask=None):
    query.mul_(2)
    if query.dim() == 4:
        value.unsqueeze_(0)
    return query

def random(query, key, value, mask=None):
    return torch.rand(3)

def library(query, key, value, mask=None):
    return my_own(query, key, value, attn_mask=mask)

def library_module(query, key, value, mask=None):
    return torch.nn.MultiheadAttention(query.size(-1), 4)(query[0], key[0], value[0])

class MyTensor(torch.Tensor):
    pass

def odd_tensors(query, key, value, mask=None):
    return {
        "subclass": torch.ones(2).as_subclass(MyTensor),
        "expanded": torch.ones(1).expand(4),
        "sparse": torch.eye(3).to_sparse(),
        "transposed": torch.arange(6).reshape(2, 3).T,
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "alias": query,
        "same": query,
        "complex": torch.ones(2, dtype=torch.complex64),
        "meta": torch.ones(2, device="meta"),
        "none": None,
        "number": 3,
        7: [torch.ones(()), torch.zeros(0, 2)],
        "nan": torch.tensor(float("nan")),
    }

def huge(query, key, value, mask=None):
    return torch.ones(1).expand(10**12)

def sparse_rows(query, key, value, mask=None):
    return torch.eye(3).to_sparse_csr()


def mkldnn(query, key, value, mask=None):
    return torch.eye(3).to_mkldnn() if torch.backends.mkldnn.is_available() else torch.eye(3).to_sparse()


def initial_seed(query, key, value, mask=None):
    return torch.tensor(torch.initial_seed())


def library_in_thread(query, key, value):
    kept = []
    thread = threading.Thread(target=lambda: kept.append(F.scaled_dot_product_attention(query, key, value)))
    thread.start()
    thread.join()
    return kept[0]


POOL = concurrent.futures.ThreadPoolExecutor(1)


def library_in_pool(query, key, value):
    return POOL.submit(F.scaled_dot_product_attention, query, key, value).result()


def library_in_generator(query, key, value):
    return next(F.scaled_dot_product_attention(query, key, value) for _ in range(1))


@torch.jit.script
def library_scripted(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor):
    if query.size(0) > 0:
        return F.scaled_dot_product_attention(query, key, value)
    return query


def huge_sparse(query, key, value, mask=None):
    return torch.sparse_coo_tensor([[0]], [1.0], (10**12,))

def grad_is_enabled(query, key, value, mask=None):
    return torch.tensor(torch.is_grad_enabled())

def takes_dropout(query, key, value, dropout_p, *, training=True):
    return torch.tensor([dropout_p, float(training)])

class Layer(torch.nn.Module):
    def __init__(self, width, bias=True):
        super().__init__()
        self.proj = torch.nn.Linear(width, width, bias=bias)
    def forward(self, query):
        return self.proj(query), torch.tensor(self.training)
"""
NAMES = ("query", "key", "value", "mask")
ARGUMENTS = tuple((name, TensorRef(name)) for name in NAMES)


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxClient]:
    with serving(tmp_path_factory.mktemp("submission"), SOURCE) as made:
        yield made
        assert made.replacements == 0


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    # Bit for bit: the worker computes with one thread, and a sum split differently rounds differently.
    with one_thread():
        yield


def local_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    scores = (query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))).masked_fill(~mask, float("-inf"))
    weights = scores.softmax(-1)
    return weights @ value, weights


def make_inputs(
    batch_size: int = 3, num_heads: int = 4, *, dtype: torch.dtype = torch.float32, mask_shape: tuple[int, ...] = (3, 1)
) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(7)
    shape = (batch_size, num_heads, 10, 64)
    inputs = {name: torch.randn(shape, generator=generator).to(dtype) for name in NAMES}
    keep = torch.rand(*mask_shape, 10, 10, generator=generator) > 0.3
    return inputs | {"mask": keep | torch.eye(10, dtype=torch.bool)}


def spec(target: str | int, **others: object) -> CallSpec:
    return CallSpec(target=target, arguments=ARGUMENTS, **others)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_forward_and_backward_equal_a_local_run(remote: SandboxClient, dtype: torch.dtype) -> None:
    inputs = make_inputs(dtype=dtype)
    call = remote.call(spec("attention", grad=True, requires_grad=NAMES[:3]), inputs)
    assert call.structure.type == "tuple"
    assert [item.name for item in call.structure.items] == ["result.0", "result.1"]
    upstream = {name: torch.ones_like(tensor) for name, tensor in call.tensors.items()}
    gradients = remote.backward(call, upstream)

    leaves = [inputs[name].clone().requires_grad_() for name in NAMES[:3]]
    outputs = local_attention(*leaves, inputs["mask"])
    expected = torch.autograd.grad(outputs, leaves, list(upstream.values()))
    assert all(torch.equal(call.tensors[f"result.{index}"], output) for index, output in enumerate(outputs))
    assert all(torch.equal(gradients[name], each) for name, each in zip(NAMES, expected, strict=False))
    assert call.seconds > 0
    assert call.library_calls == {}


@pytest.mark.parametrize(
    ("target", "rank", "batch_size", "mask_shape"),
    [
        (target, rank, batch_size, (mask_batch, mask_heads))
        for (target, rank), batch_size, mask_heads in itertools.product(
            (("only_3d", 3), ("only_2d", 2)), (1, 3), (1, 4)
        )
        for mask_batch in {1, batch_size}
    ],
)
def test_loops_over_heads_and_rows_equal_the_whole(
    remote: SandboxClient, target: str, rank: int, batch_size: int, mask_shape: tuple[int, int]
) -> None:
    inputs = make_inputs(batch_size, mask_shape=mask_shape)
    call = remote.call(spec(target, rank=rank, grad=True, requires_grad=NAMES[:3]), inputs)
    leaves = [inputs[name].clone().requires_grad_() for name in NAMES[:3]]
    outputs = local_attention(*leaves, inputs["mask"])
    names = ["result.0", "result.1"] if rank == 3 else ["result"]
    for name, output in zip(names, outputs, strict=False):
        torch.testing.assert_close(call.tensors[name], output)
    gradients = remote.backward(call, {names[0]: torch.ones_like(outputs[0])})
    expected = torch.autograd.grad(outputs[0].sum(), leaves)
    for name, each in zip(NAMES, expected, strict=False):
        torch.testing.assert_close(gradients[name], each)


def test_no_gradient_is_not_a_zero_gradient(remote: SandboxClient) -> None:
    call = remote.call(spec("ignores_value", grad=True, requires_grad=NAMES[:3]), make_inputs())
    gradients = remote.backward(call, {"result": torch.ones_like(call.tensors["result"])})
    assert gradients["value"] is None
    assert gradients["key"] is not None
    assert not gradients["key"].any()
    assert torch.equal(gradients["query"], torch.full_like(gradients["key"], 2))


def test_without_grad_there_is_no_graph(remote: SandboxClient) -> None:
    assert not remote.call(spec("grad_is_enabled"), make_inputs()).tensors["result"]
    assert remote.call(spec("grad_is_enabled", grad=True), make_inputs()).tensors["result"]
    call = remote.call(spec("attention"), make_inputs())
    assert call.handle is None
    assert not any(call.requires_grad.values())


def test_a_graph_goes_back_twice_only_when_kept(remote: SandboxClient) -> None:
    call = remote.call(spec("attention", grad=True, requires_grad=("query",)), make_inputs())
    upstream = {"result.0": torch.ones_like(call.tensors["result.0"])}
    first = remote.backward(call, upstream, retain=True)
    second = remote.backward(call, upstream)
    assert torch.equal(first["query"], second["query"])
    with pytest.raises(SubmissionError, match="no graph"):
        remote.backward(call, upstream)


@pytest.mark.parametrize("rank", [4, 3, 2])
@pytest.mark.parametrize("grad", [False, True])
def test_inputs_come_back_as_the_call_left_them(remote: SandboxClient, rank: int, grad: bool) -> None:
    inputs = make_inputs()
    before = {name: tensor.clone() for name, tensor in inputs.items()}
    call = remote.call(
        spec("writes", rank=rank, grad=grad, requires_grad=("query",) if grad else (), echo_inputs=True), inputs
    )
    assert torch.equal(call.inputs_after["query"], before["query"] * 2)
    assert torch.equal(call.inputs_after["key"], before["key"])
    assert call.inputs_after["value"].dim() == (5 if rank == 4 else 4)
    assert all(torch.equal(inputs[name], before[name]) for name in inputs)


def test_a_seed_makes_random_numbers_repeat(remote: SandboxClient) -> None:
    first, again, other = (
        remote.call(spec("random", seed=seed), make_inputs()).tensors["result"] for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_seed_costs_no_stack_trace(remote: SandboxClient) -> None:
    """`torch.manual_seed` formats one for every kind of device that is not in use."""
    for seed in range(3):
        assert float(remote.call(spec("stacks", seed=seed), make_inputs()).tensors["result"]) == 0


def test_ready_made_attention_is_counted_through_an_alias(remote: SandboxClient) -> None:
    call = remote.call(spec("library"), make_inputs())
    assert call.library_calls == {"torch.nn.functional.scaled_dot_product_attention": 1}
    call = remote.call(spec("library_module"), make_inputs())
    assert call.library_calls["torch.nn.MultiheadAttention"] == 1


@pytest.mark.parametrize("target", ["library_in_thread", "library_in_pool", "library_in_generator", "library_scripted"])
def test_ready_made_attention_is_counted_wherever_it_is_called(remote: SandboxClient, target: str) -> None:
    call = remote.call(CallSpec(target, ARGUMENTS[:3]), {name: make_inputs()[name] for name in NAMES[:3]})
    assert call.library_calls == {"torch.nn.functional.scaled_dot_product_attention": 1}


def test_odd_tensors_arrive_plain(remote: SandboxClient) -> None:
    call = remote.call(spec("odd_tensors"), make_inputs())
    assert call.structure.type == "dict"
    found = dict(zip(call.structure.keys, call.structure.items, strict=True))
    values = {key: call.tensors[item.name] for key, item in found.items() if item.name is not None}
    assert all(type(tensor) is Tensor and tensor.is_contiguous() for tensor in call.tensors.values())
    assert "sparse_coo tensor of shape (3, 3), which is not dense" in found["sparse"].text
    assert torch.equal(values["expanded"], torch.ones(4))
    assert torch.equal(values["transposed"], torch.arange(6).reshape(2, 3).T)
    assert values["nan"].isnan()
    assert found["none"].type == "none"
    assert found["number"].text == "int: 3"
    assert "complex64" in found["complex"].text
    assert "meta" in found["meta"].text
    assert found["7"].type == "list"
    assert call.tensors[found["7"].items[1].name or ""].shape == (0, 2)


def test_a_huge_claimed_result_is_refused(remote: SandboxClient) -> None:
    with pytest.raises(SubmissionError, match="larger than") as caught:
        remote.call(spec("huge"), make_inputs())
    assert caught.value.name == "malformed-reply"


@pytest.mark.parametrize("target", ["huge_sparse", "sparse_rows", "mkldnn"])
def test_a_result_that_is_not_dense_does_not_cross(remote: SandboxClient, target: str) -> None:
    call = remote.call(spec(target), make_inputs())
    assert call.tensors == {}
    assert "not dense" in call.structure.text


def test_a_worker_cannot_tell_the_seed_of_its_inputs(remote: SandboxClient) -> None:
    for seed in (1, 4711):
        told = int(remote.call(spec("initial_seed", seed=seed), make_inputs()).tensors["result"])
        assert told not in {seed, seed + 1, seed - 1}


def test_values_and_keywords_arrive(remote: SandboxClient) -> None:
    arguments = (*ARGUMENTS[:3], ("dropout_p", LiteralArgument(0.25)))
    call = remote.call(
        CallSpec("takes_dropout", arguments, keywords=(("training", LiteralArgument(False)),)), make_inputs()
    )
    assert call.tensors["result"].tolist() == [0.25, 0.0]


def test_objects_are_made_loaded_and_called(remote: SandboxClient) -> None:
    handle = remote.construct("Layer", LiteralArgument(64), bias=LiteralArgument(False)).handle
    described = remote.module(handle).parameters
    assert [(each.name, each.shape, each.owner) for each in described] == [("proj.weight", (64, 64), "Linear")]
    remote.load(handle, {"proj.weight": torch.eye(64)})
    assert torch.equal(remote.parameter_values(handle)["proj.weight"], torch.eye(64))
    query = torch.randn(2, 64)
    for training in (True, False):
        call = remote.call(CallSpec(handle, (("query", TensorRef("query")),), training=training), {"query": query})
        torch.testing.assert_close(call.tensors["result.0"], query)
        assert bool(call.tensors["result.1"]) is training
    with pytest.raises(SubmissionError, match="no parameter"):
        remote.load(handle, {"proj.weight": torch.ones(3)})
