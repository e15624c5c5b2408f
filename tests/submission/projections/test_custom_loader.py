"""A module that says itself where its projections go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from pytest_attn_grader.attention.probes import INPUT_NAMES, SPEC_BY_NAME, build_probe
from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.grading.observation import Observation
from pytest_attn_grader.submission.adapt import fit
from pytest_attn_grader.submission.projections.custom_loader import trace_loader
from pytest_attn_grader.submission.projections.matrices import Projections

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.students import Workshop

MODULE = """
import torch
from torch import nn

class Attention(nn.Module):
    def __init__(self, CONSTRUCTOR):
        super().__init__()
        self.d_model, self.num_heads = d_model, num_heads
        self.one, self.two, self.three = (nn.Parameter(torch.zeros(d_model, d_model)) for _ in range(3))

    def load_projections(self, w_q, w_k, w_v, w_o, biases):
        with torch.no_grad():
            LOAD

    def forward(self, x, mask=None):
        split = lambda t: t.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        q, k, v = split(x @ self.two), split(x @ self.three), split(x @ self.one)
        s = q @ k.mT / q.shape[-1] ** 0.5
        return (s.masked_fill(~mask, -1e9).softmax(-1) @ v).transpose(1, 2).flatten(2)
"""
RIGHT = "self.one.copy_(w_v); self.two.copy_(w_q); self.three.copy_(w_k)"


def source(load: str, constructor: str = "d_model, num_heads") -> str:
    return MODULE.replace("LOAD", load).replace("CONSTRUCTOR", constructor)


@pytest.mark.parametrize("constructor", ["d_model, num_heads", "d_model=256, num_heads=4, *, other=None"])
def test_what_it_says_is_done_with_gradients(workshop: Workshop, constructor: str) -> None:
    """Its parameters come in the order value, query, key: taken by order they would be confused."""
    student = workshop.student(source(RIGHT, constructor))
    attention = fit(student, student.contract, seed=1)
    assert "load-projections" in [each.name for each in attention.adaptations]
    observation = Observation(probe := build_probe(SPEC_BY_NAME["basic"], seed=1), attention.run_probe(probe))
    assert observation.student.failure is None
    assert observation.output_error <= observation.tolerance.tolerance["attn_output"]
    for tensor in INPUT_NAMES:
        difference = observation.gradient(tensor).double() - observation.reference_gradient(tensor)
        assert float(difference.abs().max()) <= observation.tolerance.tolerance[tensor]


def test_a_fixed_size_is_read_from_its_attributes(workshop: Workshop) -> None:
    fixed = source(RIGHT, "").replace("self.d_model, self.num_heads = d_model, num_heads", "d_model = 64")
    fixed = fixed.replace("d_model = 64", "d_model = self.d_model = 64; self.num_heads = 2")
    student = workshop.student(fixed)
    shape = fit(student, student.contract, seed=1).oracle.shape_for(12, 64, width=768)
    assert (shape.width, shape.num_heads, shape.head_dim) == (64, 2, 32)
    assert (shape.has_input_biases, shape.has_output) == (False, False)


@pytest.mark.parametrize(
    ("load", "message"),
    [
        ("pass", r"load_projections of Attention was called and changed none of its parameters: one \(256, 256\)"),
        ("self.one.copy_(w_v @ w_v)", "load_projections of Attention does something else than copying into one"),
        ("self.one.copy_(w_v[0])\n            self.two.copy_(w_q.sin())", "something else than copying into two"),
        ("self.one.copy_(w_v[:, :5])", "RuntimeError: .*256"),
        ("self.nine.copy_(w_v)", "AttributeError: 'Attention' object has no attribute 'nine'"),
    ],
)
def test_a_loader_that_does_not(workshop: Workshop, load: str, message: str) -> None:
    student = workshop.student(source(load))
    with pytest.raises(SubmissionError, match=message) as caught:
        fit(student, student.contract, seed=1)
    assert caught.value.remedy


def test_scaled_shifted_and_repeated_numbers_are_found() -> None:
    kept = torch.tensor([5.0, 7.0])

    def load(given: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {
            "query": 0.125 * given["w_q"].T + 1,
            "twice": torch.cat([given["b_v"], given["b_v"]]),
            "elsewhere": kept,
        }

    found = trace_loader(load, width=6, num_heads=2, head_dim=2, name="A")
    assert found.takes == {"w_q", "b_v"}
    assert found.places.keys() == {"query", "twice"}
    matrices = [torch.randn(6, 2, 2, requires_grad=True) for _ in range(3)]
    biases = [torch.randn(2, 2) for _ in range(3)]
    filled = found.fill(Projections(*matrices, *biases))
    torch.testing.assert_close(filled["query"], 0.125 * matrices[0].flatten(1).T + 1)
    torch.testing.assert_close(filled["twice"], biases[2].flatten().repeat(2))
    filled["query"].sum().backward()
    torch.testing.assert_close(matrices[0].grad, torch.full((6, 2, 2), 0.125))
