"""The evidence that is shown where no mistake is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from pytest_attn_grader.attention.reference import reference_attention
from pytest_attn_grader.misconceptions.evidence import describe_evidence
from pytest_attn_grader.misconceptions.source import SubmissionSource


def spoiled(part: tuple[slice | int, ...]) -> Callable[..., tuple[Tensor, Tensor]]:
    """The reference, with noise on a part of the output."""

    def attention(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor, **_: Any) -> tuple[Tensor, Tensor]:
        attn_output, attn_weights = reference_attention(query, key, value, keep_mask)
        noise = torch.zeros_like(attn_output)
        noise[part] = 1.0
        return attn_output + noise, attn_weights

    return attention


ALL = slice(None)


@pytest.mark.parametrize(
    ("part", "sentence"),
    [
        ((ALL, slice(1, None)), "head 0 is right, the others are not"),
        ((slice(1, None),), "example 0 is right, the others are not"),
        ((ALL, ALL, slice(2, None)), "queries 0, 1 are right, the others are not"),
    ],
)
def test_the_parts_that_are_right(part: tuple[slice | int, ...], sentence: str, case_of: Callable[[Any], Any]) -> None:
    assert sentence in describe_evidence(case_of(spoiled(part)))


def test_weights_first_and_output_second(case_of: Callable[[Any], Any]) -> None:
    said = describe_evidence(case_of(lambda *args, **_: reference_attention(*args)[::-1]))
    assert any("return the output first" in sentence for sentence in said)


def test_a_first_query_that_can_only_be_right_is_not_mentioned(case_of: Callable[[Any], Any]) -> None:
    def attention(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor, **_: Any) -> tuple[Tensor, Tensor]:
        return reference_attention(query.sin(), key, value, keep_mask)

    said = "; ".join(describe_evidence(case_of(attention)))
    assert "query 0" not in said
    assert "it is right with one token, whose weight is 1 whatever its score is" in said


@pytest.mark.parametrize(("source", "expected"), [("a, b = x.cos(), x.sin()", True), ("w = s.softmax(-1)", False)])
def test_the_rotation_is_a_suspect_where_the_file_rotates(
    source: str, expected: bool, case_of: Callable[[Any], Any]
) -> None:
    case = replace(case_of(spoiled((ALL, ALL, slice(1, None)))), rotary_base=10_000.0, source=SubmissionSource(source))
    assert any("the pairs of dimensions" in sentence for sentence in describe_evidence(case)) is expected
