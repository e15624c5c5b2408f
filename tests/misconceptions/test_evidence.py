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


@pytest.mark.parametrize(
    ("is_lost", "which"),
    [
        (lambda weights: weights < 0.05, "the smallest of their rows"),
        (lambda weights: (weights > 0.2) & (weights < 0.5), "large ones among them"),
    ],
)
def test_weights_that_are_lost(is_lost: Callable[[Tensor], Tensor], which: str, case_of: Callable[[Any], Any]) -> None:
    def attention(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor, **_: Any) -> tuple[Tensor, Tensor]:
        weights = reference_attention(query, key, value, keep_mask)[1]
        weights = weights.masked_fill(is_lost(weights), 0.0)
        return weights @ value, weights

    said = "; ".join(describe_evidence(case_of(attention)))
    assert "of the weights are 0 and should not be" in said
    assert which in said


def test_the_own_key_that_is_left_out(case_of: Callable[[Any], Any]) -> None:
    def attention(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor, **_: Any) -> tuple[Tensor, Tensor]:
        others = keep_mask & ~torch.eye(*keep_mask.shape[-2:], dtype=torch.bool)
        keep_mask = torch.where(others.any(-1, keepdim=True), others, keep_mask)
        return reference_attention(query, key, value, keep_mask)

    assert "those of each token's own key" in "; ".join(describe_evidence(case_of(attention)))


def test_an_axis_that_squeeze_removes(case_of: Callable[[Any], Any]) -> None:
    def attention(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor, **_: Any) -> tuple[Tensor, Tensor]:
        scores = (query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5).squeeze()
        weights = scores.masked_fill(~keep_mask, float("-inf")).softmax(-1)
        return torch.bmm(weights.flatten(0, 1), value.flatten(0, 1)).view_as(query), weights

    case = replace(case_of(attention), source=SubmissionSource("scores = (query @ key.mT).squeeze()"))
    assert case.attempts["one-token"].failure is not None
    said = "; ".join(describe_evidence(case))
    assert "squeeze() without an axis removes every axis of size 1" in said
    assert "in training" not in said


def test_what_no_gradient_reaches(case_of: Callable[[Any], Any]) -> None:
    def attention(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor, **_: Any) -> tuple[Tensor, Tensor]:
        attn_output, attn_weights = reference_attention(query, key, value.detach(), keep_mask)
        return attn_output.sin(), attn_weights

    assert "no gradient reaches value: the output is not made of it" in describe_evidence(case_of(attention))


def test_weights_first_and_output_second(case_of: Callable[[Any], Any]) -> None:
    said = describe_evidence(case_of(lambda *args, **_: reference_attention(*args)[::-1]))
    assert any("return the output first" in sentence for sentence in said)


def of_other_queries(
    query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor, **_: Any
) -> tuple[Tensor, Tensor | None]:
    return reference_attention(query.sin(), key, value, keep_mask)


def test_a_first_query_that_can_only_be_right_is_not_mentioned(case_of: Callable[[Any], Any]) -> None:
    said = "; ".join(describe_evidence(case_of(of_other_queries)))
    assert "query 0" not in said
    assert "it is right with one token, whose weight is 1 whatever its score is" in said


def test_keys_that_no_query_sees_are_listed(case_of: Callable[[Any], Any]) -> None:
    def attention(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor, **_: Any) -> tuple[Tensor, Tensor]:
        weights = reference_attention(query, key, value, keep_mask)[1].clone()
        weights[..., 2:5] = 0.0
        return weights @ value, weights

    assert "those of keys 2 to 4, whichever the query is" in "; ".join(describe_evidence(case_of(attention)))


def test_rows_with_a_negative_score_are_recognised(case_of: Callable[[Any], Any]) -> None:
    def attention(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor, **_: Any) -> tuple[Tensor, Tensor]:
        weights = (query @ key.mT).sqrt().masked_fill(~keep_mask, float("-inf")).softmax(-1)
        return weights @ value, weights

    said = "; ".join(describe_evidence(case_of(attention)))
    assert "rows of weights are not finite: those with a negative score" in said


@pytest.mark.parametrize(("source", "expected"), [("a, b = x.cos(), x.sin()", True), ("w = s.softmax(-1)", False)])
def test_the_rotation_is_a_suspect_where_the_file_rotates(
    source: str, expected: bool, case_of: Callable[[Any], Any]
) -> None:
    case = replace(case_of(of_other_queries), rotary_base=10_000.0, source=SubmissionSource(source))
    assert any("the pairs of dimensions" in sentence for sentence in describe_evidence(case)) is expected


def test_the_rotation_is_no_suspect_where_several_tokens_are_right(case_of: Callable[[Any], Any]) -> None:
    case = case_of(spoiled((ALL, slice(5, None))))  # the sixth head, which only some probes have
    case = replace(case, rotary_base=10_000.0, source=SubmissionSource("a, b = x.cos(), x.sin()"))
    assert not any("the pairs of dimensions" in sentence for sentence in describe_evidence(case))


def test_queries_of_right_examples_are_not_named(case_of: Callable[[Any], Any]) -> None:
    said = describe_evidence(case_of(spoiled((slice(1, None),))))
    assert not any("quer" in sentence.partition("right")[0] for sentence in said)


def test_parts_that_are_right_by_chance_are_not_named(case_of: Callable[[Any], Any]) -> None:
    def attention(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor, **_: Any) -> tuple[Tensor, Tensor]:
        attn_output, attn_weights = reference_attention(query, key, value, keep_mask)
        attn_output[:, ::2, -1] += 1.0
        return attn_output, attn_weights

    said = describe_evidence(case_of(attention))
    assert not any(sentence.startswith("head") for sentence in said)


@pytest.mark.parametrize(
    ("returned", "sentence"),
    [
        (lambda scores, weights: scores, "it is the scores, before softmax"),
        (lambda scores, weights: weights.log(), "it is the logarithm of the weights"),
        (lambda scores, weights: scores.softmax(-1), "it is the weights without the mask"),
    ],
)
def test_what_is_returned_in_place_of_the_weights(
    returned: Callable[[Tensor, Tensor], Tensor], sentence: str, case_of: Callable[[Any], Any]
) -> None:
    def attention(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor, **_: Any) -> tuple[Tensor, Tensor]:
        attn_output, attn_weights = reference_attention(query, key, value, keep_mask)
        return attn_output, returned(query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5, attn_weights)

    said = describe_evidence(case_of(attention))
    assert said[0].startswith("the output is right")
    assert sentence in said
