"""Remedies are given where they fit: for a size that is typed in, and for axes that are turned as of matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.submission.adapt import fit
from pytest_attn_grader.submission.function_ranks import is_about_axes, remedy_for_axes, remedy_for_typed_in

if TYPE_CHECKING:
    from tests.support.students import Workshop

SIZES = {"batch": 3, "heads": 5, "tokens": 10, "head_dim": 64}
EIGHT = "RuntimeError: The size of tensor a (8) must match the size of tensor b (10) at non-singleton dimension 3"


@pytest.mark.parametrize(
    ("message", "source", "number"),
    [
        (EIGHT, "tokens = 8\n", "8"),
        ("RuntimeError: shape '[3, 5, 16, 4]' is invalid for input of size 9600", "q.view(3, 5, 16, 4)", "16"),
        ("RuntimeError: mat1 and mat2 shapes cannot be multiplied (150x64 and 50x48)", "W = randn(50, 48)", "50"),
        (EIGHT, "x8 = 1.8\n", None),
        (EIGHT.replace("8", "5"), "heads = 5", None),
        ("RuntimeError: expected scalar type Float but found Half 8", "tokens = 8", None),
    ],
)
def test_a_number_that_is_typed_in(message: str, source: str, number: str | None) -> None:
    remedy = remedy_for_typed_in(message, source, SIZES)
    if number is None:
        assert remedy == ""
    else:
        assert remedy.startswith(
            f"{number} stands in the code, and is the size of nothing that came in (batch 3, heads 5,"
        )


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (EIGHT, True),
        ("AssertionError", True),
        ("ValueError: too many values to unpack (expected 3)", True),
        ("AttributeError: module 'torch' has no attribute 'matmull'", False),
        ("RuntimeError: expected scalar type Float but found Half", False),
        ("AssertionError: Torch not compiled with CUDA enabled", False),
    ],
)
def test_exceptions_about_axes(message: str, expected: bool) -> None:
    assert is_about_axes(message) is expected


def test_axes_are_turned_in_the_line_that_failed() -> None:
    assert ".transpose(-2, -1)" in remedy_for_axes("    scores = q @ k.T\n")
    assert ".transpose(-2, -1)" in remedy_for_axes("    scores = torch.bmm(q, k)\n")
    assert remedy_for_axes("    scores = q @ k.mT.transpose(-2, -1)\n") == ""


@pytest.mark.parametrize(
    ("line", "wrong", "remedy"),
    [
        ("torch.ones(8, 8).tril()", "The size of tensor a", "8 stands in the code"),
        ("torch.ones(scores.shape[-2:]).trill()", "no attribute 'trill'", ""),
    ],
)
def test_the_remedy_fits_a_function_of_four_dimensions(workshop: Workshop, line: str, wrong: str, remedy: str) -> None:
    source = f'''
import torch

def attention(query, key, value):
    """query: (batch, heads, seq, head_dim)"""
    scores = query @ key.transpose(-2, -1) / query.size(-1) ** 0.5
    return scores.masked_fill({line} == 0, float("-inf")).softmax(-1) @ value
'''
    student = workshop.student(source)
    with pytest.raises(SubmissionError, match=wrong) as caught:
        fit(student, student.contract, seed=1)
    assert caught.value.remedy.startswith(remedy)
    assert ".T" not in caught.value.remedy
    assert "four dimensions" not in caught.value.message
