"""A submission's own projections with random matrices and biases."""

from __future__ import annotations

import math

import pytest
import torch

from pytest_attn_grader.grading.evidence import NotApplicable
from pytest_attn_grader.grading.own_projections import TOLERANCE, observe_own_projections, run_own_projections
from pytest_attn_grader.submission.module_attention import ModuleAttention
from pytest_attn_grader.submission.projected import ProjectedInputs, ProjectedOutputs
from tests.support.checks import session_over

MODULE = """
import torch
from torch import nn

class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, query, key, value, mask=None):
        q, k, v = QUERY, KEY, VALUE
        q, k, v = (states.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for states in (q, k, v))
        scores = q @ k.mT / q.shape[-1] ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
        return OUTPUT
"""
RIGHT = {"QUERY": "self.q(query)", "KEY": "self.k(key)", "VALUE": "self.v(value)", "OUTPUT": "self.o(mixed)"}
SQUARE = (("QUERY", "query", "q"), ("KEY", "key", "k"))
FUNCTION = """
def attention(query, key, value, mask):
    scores = (query @ key.mT / query.shape[-1] ** 0.5).masked_fill(~mask, float("-inf"))
    return scores.softmax(-1) @ value
"""


def module(**lines: str) -> str:
    source = MODULE
    for name, line in {**RIGHT, **lines}.items():
        source = source.replace(name, line)
    return source


def test_a_right_module_is_right(workshop, mini) -> None:
    found = observe_own_projections(session_over(workshop.student(module()), mini))
    assert found.is_right
    assert found.error < TOLERANCE / 100
    assert "values" in found.what  # both calls were made


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ({"VALUE": "value @ self.v.weight.T"}, "the bias of the value projection (v.bias) is not added"),
        ({"QUERY": "query @ self.q.weight.T"}, "the bias of the query projection (q.bias) is not added"),
        ({"OUTPUT": "mixed @ self.o.weight.T"}, "the bias of the output projection (o.bias) is not added"),
        ({"VALUE": "self.v(value) + self.v.bias"}, "the bias of the value projection (v.bias) is added twice"),
        (
            {"QUERY": "query @ self.q.weight.T", "VALUE": "value @ self.v.weight.T"},
            "the biases of the query projection (q.bias) and the value projection (v.bias) are not added",
        ),
        ({"VALUE": "self.v(key)"}, "with another text as the value the output stays the same"),
        (
            {"OUTPUT": "mixed @ self.o.weight + self.o.bias"},
            "the matrix of the output projection is used transposed, unlike the others",
        ),
        (
            {name: f"{part} @ self.{letter}.weight + self.{letter}.bias" for name, part, letter in SQUARE},
            "the matrices of the query and key projections are used transposed, unlike the others",
        ),
        (
            {"OUTPUT": "mixed + 0 * self.o(mixed)"},
            "the output is that of the heads side by side, and the output projection has no part in it",
        ),
        ({"OUTPUT": "self.o(self.o(mixed))"}, "the output projection is applied twice"),
        ({"QUERY": "self.q(key)"}, "with another text for the keys the queries are made from the text of the keys"),
        (
            {"QUERY": "self.q(key)", "KEY": "self.k(query)"},
            "with another text for the keys queries and keys are made from each other's text",
        ),
        ({"KEY": "self.k(query)"}, "with another text for the keys the keys are made from the text of the queries"),
    ],
)
def test_what_is_wrong_is_said(workshop, mini, lines: dict[str, str], words: str) -> None:
    found = observe_own_projections(session_over(workshop.student(module(**lines)), mini))
    assert not found.is_right
    assert found.mistake is not None
    assert found.mistake.message == words


def test_a_bias_that_changes_nothing_may_be_missing(workshop, mini) -> None:
    # The bias of the keys adds the same number to all scores of a query.
    source = module(KEY="key @ self.k.weight.T")
    assert observe_own_projections(session_over(workshop.student(source), mini)).is_right


def test_what_is_not_known_is_wrong_without_a_name(workshop, mini) -> None:
    found = observe_own_projections(session_over(workshop.student(module(VALUE="self.v(value) + self.q.bias")), mini))
    assert not found.is_right
    assert found.mistake is None


def test_a_function_has_no_projections(workshop, mini) -> None:
    with pytest.raises(NotApplicable, match="no projections"):
        observe_own_projections(session_over(workshop.student(FUNCTION), mini))


def test_the_expected_output_is_that_of_a_loop_in_float64(workshop, mini, monkeypatch: pytest.MonkeyPatch) -> None:
    """The output of the formulas, written out for every query and head, is accepted in the submission's place."""

    def loop(self: object, shape: object, inputs: ProjectedInputs) -> ProjectedOutputs:
        given = inputs.projections
        query, key, value = (
            torch.einsum("bti,ihd->bthd", states.double(), weight.double()) + bias.double()
            for states, weight, bias in (
                (inputs.query_states, given.w_q, given.b_q),
                (inputs.key_states, given.w_k, given.b_k),
                (inputs.key_states if inputs.value_states is None else inputs.value_states, given.w_v, given.b_v),
            )
        )
        output = given.b_o.double().repeat(*query.shape[:2], 1)
        for batch, token, head in torch.cartesian_prod(*(torch.arange(size) for size in query.shape[:3])).tolist():
            seen = range(token + 1)
            scores = [float(query[batch, token, head] @ key[batch, other, head]) / math.sqrt(64) for other in seen]
            weights = [math.exp(score - max(scores)) for score in scores]
            mixed = sum(
                weight / sum(weights) * value[batch, other, head] for weight, other in zip(weights, seen, strict=True)
            )
            output[batch, token] += mixed @ given.w_o[head].double()
        return ProjectedOutputs(output.float())

    attention = session_over(workshop.student(module()), mini).submission.attention
    assert isinstance(attention, ModuleAttention)
    monkeypatch.setattr(type(attention.oracle), "forward", loop)
    assert run_own_projections(attention, 1).is_right
