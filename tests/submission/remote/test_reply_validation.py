"""Replies are checked before anyone believes them."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.submission.remote import reply_validation
from pytest_attn_grader.submission.remote.messages import TensorMeta

GOOD_CALL: dict[str, Any] = {
    "structure": {"type": "tuple", "items": [{"type": "tensor", "name": "result.0"}, {"type": "none"}]},
    "seconds": 0.5,
    "library_calls": {"sdpa": 1},
    "requires_grad": {"result.0": True},
    "handle": 3,
    "attributes": [],
}


def test_a_good_reply_is_read() -> None:
    read = reply_validation.read_call(GOOD_CALL, {"result.0": torch.ones(2)}, ())
    assert read.structure.items[0].name == "result.0"
    assert read.handle == 3


@pytest.mark.parametrize(
    "change",
    [
        {"structure": None},
        {"structure": {"type": "tuple"}},
        {"structure": {"type": "tensor", "name": "other"}},
        {"structure": {"type": "tensor", "name": ["result.0"]}},
        {"structure": {"type": "dict", "items": [], "keys": ["a"]}},
        {"structure": {"type": "pickle"}},
        {"structure": {"type": "none"}},
        {"structure": {"type": "tuple", "items": [{"type": "tensor", "name": "result.0"}] * 2}},
        {"structure": {"type": "tuple", "items": [{"type": "none"}] * 5000}},
        {"seconds": "fast"},
        {"seconds": -1},
        {"seconds": True},
        {"library_calls": []},
        {"library_calls": {"sdpa": "x"}},
        {"requires_grad": {}},
        {"requires_grad": {"result.0": "yes"}},
        {"requires_grad": 7},
        {"handle": "3"},
        {"handle": 3.5},
    ],
)
def test_a_forged_reply_ends_as_malformed(change: dict[str, Any]) -> None:
    forged = copy.deepcopy(GOOD_CALL) | change
    with pytest.raises(SubmissionError) as caught, reply_validation.refuse_malformed(None):
        reply_validation.read_call(forged, {"result.0": torch.ones(2)}, ())
    assert caught.value.name == "malformed-reply"


@pytest.mark.parametrize(
    ("gradients", "tensors"),
    [
        ({}, {}),
        ({"query": "grad.query"}, {}),
        ({"query": 3}, {}),
        ([], {}),
        ({"query": "grad.query"}, {"grad.query": torch.ones(3)}),
        ({"query": "grad.query"}, {"grad.query": torch.ones(2, dtype=torch.float64)}),
    ],
)
def test_forged_gradients_end_as_malformed(gradients: Any, tensors: dict[str, torch.Tensor]) -> None:
    inputs = {"query": TensorMeta.of(torch.ones(2))}
    with pytest.raises(SubmissionError) as caught, reply_validation.refuse_malformed(None):
        reply_validation.read_gradients({"gradients": gradients}, tensors, inputs)
    assert caught.value.name == "malformed-reply"


@pytest.mark.parametrize(
    "change", [{"name": 3}, {"candidates": 3}, {"candidates": [3]}, {"files": [None]}, {"files": ["a"] * 5000}, {}]
)
def test_forged_descriptions_end_as_malformed(change: dict[str, Any]) -> None:
    good: dict[str, Any] = {
        "name": None,
        "candidates": [],
        "mask_convention": None,
        "files": [],
        "transformers_imported": False,
        "changed_state": [],
    }
    assert reply_validation.read_description(good).candidates == ()
    forged = good | change if change else {}
    with pytest.raises(SubmissionError), reply_validation.refuse_malformed(None):
        reply_validation.read_description(forged)


@pytest.mark.parametrize("shape", [[-1], [10**18], [1 << 15, 1 << 15]])
def test_a_parameter_that_no_worker_could_hold_is_malformed(shape: list[int]) -> None:
    weight = {"name": "w", "shape": [2, 0], "dtype": "float32", "owner": "Linear"}
    good: dict[str, Any] = {
        "parameters": [weight],
        "sizes": {"num_heads": 4, "seed": 10**30},
        "unregistered": [],
        "has_loader": True,
    }
    assert reply_validation.read_module(good).sizes == {"num_heads": 4}
    with pytest.raises(SubmissionError), reply_validation.refuse_malformed(None):
        reply_validation.read_module(good | {"parameters": [weight | {"shape": shape}]})
    with pytest.raises(SubmissionError), reply_validation.refuse_malformed(None):
        reply_validation.read_module(good | {"parameters": [weight | {"name": "9" * 5000}]})
