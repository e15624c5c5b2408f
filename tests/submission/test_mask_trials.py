"""A mask that leaves no trace in its first shape is passed in others, and the right one is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_attn_grader.attention.probes import SPEC_BY_NAME
from pytest_attn_grader.submission.adapt import fit
from pytest_attn_grader.submission.function_attention import FunctionAttention
from pytest_attn_grader.submission.masks import PADDING, PER_EXAMPLE, PER_HEAD, SQUARE
from pytest_attn_grader.submission.module_attention import ModuleAttention
from pytest_attn_grader.submission.trials import is_right, is_right_on

if TYPE_CHECKING:
    from tests.support.students import Workshop

MODULE = """
import torch
from torch import nn

class Attention(nn.Module):
    def __init__(self, d_model, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, x, mask=None):
        batch, seq, width = x.shape
        q, k, v = (f(x).view(batch, seq, self.num_heads, -1).transpose(1, 2) for f in (self.q, self.k, self.v))
        scores = q @ k.transpose(-2, -1) / q.size(-1) ** 0.5
        scores = scores.masked_fill(torch.ones(seq, seq, dtype=torch.bool).triu(1), -1e9)
        if mask is not None and mask.dim() == {dims}:
            scores = {masked}
        return self.o((scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, seq, width))
"""
FUNCTION = """
import torch

def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / query.size(-1) ** 0.5
    if mask is not None and mask.dim() == {dims}:
        scores = {masked}
    weights = scores.softmax(-1)
    return weights @ value, weights
"""
FILLED = "scores.masked_fill(~mask{index}, -1e9)"
OWN_MASK = """
import torch

def attention(query, key, value, hook=None):
    s = query @ key.mT / query.size(-1) ** 0.5
    s = s.masked_fill(~torch.ones(s.shape[-2:], dtype=torch.bool).tril(s.shape[-1] - s.shape[-2]), -1e9)
    return s.softmax(-1) @ value
"""
BY_KEY, BY_EXAMPLE, WHOLE = "[:, None, None, :]", "[:, None]", ""


@pytest.mark.parametrize(
    ("dims", "masked", "mask_shape", "convention"),
    [
        (2, FILLED.format(index=BY_KEY), PADDING, "keep"),
        (3, FILLED.format(index=BY_EXAMPLE), PER_EXAMPLE, "keep"),
        (2, FILLED.format(index=WHOLE), SQUARE, "keep"),
        (2, f"scores + mask{BY_KEY}", PADDING, "additive"),
    ],
)
def test_a_module_is_given_the_shape_that_it_uses(
    workshop: Workshop, dims: int, masked: str, mask_shape: str, convention: str
) -> None:
    student = workshop.student(MODULE.format(dims=dims, masked=masked))
    attention = fit(student, student.contract, seed=1)
    assert isinstance(attention, ModuleAttention)
    assert attention.oracle.conventions.mask_shape == mask_shape
    assert attention.contract.mask_convention == convention
    assert any(note.name == "mask-shape" and mask_shape in note.why for note in attention.adaptations)
    assert is_right(attention, seed=1)


@pytest.mark.parametrize(
    ("dims", "index", "mask_shape", "rank"), [(3, BY_EXAMPLE, PER_EXAMPLE, 4), (2, WHOLE, PER_HEAD, 1)]
)
def test_a_function_is_given_the_shape_that_it_uses(
    workshop: Workshop, dims: int, index: str, mask_shape: str, rank: int
) -> None:
    student = workshop.student(FUNCTION.format(dims=dims, masked=FILLED.format(index=index)))
    attention = fit(student, student.contract, seed=1)
    assert isinstance(attention, FunctionAttention)
    assert (attention.mask_shape, attention.rank) == (mask_shape, rank)
    assert any(note.name == "mask-shape" for note in attention.adaptations)
    assert is_right(attention, seed=1)


@pytest.mark.parametrize("template", [MODULE, FUNCTION])
def test_a_mask_that_is_never_used_keeps_its_first_shape(workshop: Workshop, template: str) -> None:
    student = workshop.student(template.format(dims=7, masked="scores"))
    attention = fit(student, student.contract, seed=1)
    shape = attention.oracle.conventions.mask_shape if isinstance(attention, ModuleAttention) else None
    assert shape in {None, PER_HEAD}
    assert not any(note.name == "mask-shape" for note in attention.adaptations)
    assert not is_right(attention, seed=1)


def test_a_wrong_attention_is_given_the_mask_that_it_uses(workshop: Workshop) -> None:
    unscaled = MODULE.replace(" / q.size(-1) ** 0.5", "").format(dims=2, masked=FILLED.format(index=BY_KEY))
    student = workshop.student(unscaled)
    attention = fit(student, student.contract, seed=1)
    assert isinstance(attention, ModuleAttention)
    assert attention.oracle.conventions.mask_shape == PADDING
    assert not is_right(attention, seed=1)


def test_examples_that_are_mixed_do_not_show_a_mask_that_is_never_used(workshop: Workshop) -> None:
    source = MODULE.format(dims=2, masked="scores").replace("@ v)", "@ v.roll(1, 0))")
    attention = fit(student := workshop.student(source), student.contract, seed=1)
    assert isinstance(attention, ModuleAttention)
    assert attention.oracle.conventions.mask_shape == PER_HEAD


@pytest.mark.parametrize(("dims", "mask_shape"), [(2, SQUARE), (3, PER_EXAMPLE)])
@pytest.mark.parametrize("mixed", ["v[:1]", "v.roll(1, 0)"])
def test_calls_for_one_example_do_not_hide_that_examples_are_mixed(
    workshop: Workshop, dims: int, mask_shape: str, mixed: str
) -> None:
    masked = FILLED.format(index=WHOLE if mask_shape == SQUARE else BY_EXAMPLE)
    source = MODULE.format(dims=dims, masked=masked).replace("@ v)", f"@ {mixed})")
    student = workshop.student(source)
    attention = fit(student, student.contract, seed=1)
    assert not is_right_on(attention, attention.make_probe(SPEC_BY_NAME["unpadded"], seed=1))


@pytest.mark.parametrize(
    ("source", "convention"),
    [
        (OWN_MASK, "none"),
        (OWN_MASK.replace("s.softmax", "(s if hook is None else s.masked_fill(~hook, -1e9)).softmax"), "keep"),
        (OWN_MASK.replace("hook=None", "mask=None"), "keep"),
        (OWN_MASK.replace(".tril(s.shape[-1] - s.shape[-2])", ""), "keep"),
    ],
    ids=["never used", "used", "called mask", "hides nothing"],
)
def test_an_unused_parameter_of_another_name_is_no_mask(workshop: Workshop, source: str, convention: str) -> None:
    student = workshop.student(source)
    assert fit(student, student.contract, seed=1).contract.mask_convention == convention
