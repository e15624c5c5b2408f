"""How an attention takes its mask, and what it may return."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pytest_attn_grader.errors import PatchingError
from pytest_attn_grader.models.patching.attention_function import (
    FOURTH_ARGUMENT,
    NO_MASK,
    AttentionFunction,
    is_attention_block,
    mask_parameter,
)

QUERY = torch.randn(2, 3, 5, 8, generator=torch.Generator().manual_seed(0))
KEEP = torch.ones(2, 1, 5, 5, dtype=torch.bool).tril()


def named(query: Any, key: Any, value: Any, *, attn_mask: Any = None) -> Any: ...
def fourth(query: Any, key: Any, value: Any, m: Any) -> Any: ...
def without(query: Any, key: Any, value: Any) -> Any: ...
def with_dropout(query: Any, key: Any, value: Any, dropout: float = 0.0) -> Any: ...
def of_hidden_states(x: Any) -> Any: ...


@pytest.mark.parametrize(
    ("attention", "expected"),
    [
        (named, "attn_mask"),
        (fourth, FOURTH_ARGUMENT),
        (without, NO_MASK),
        (with_dropout, NO_MASK),
        (functools.partial(fourth, m=None), NO_MASK),
        (F.scaled_dot_product_attention, FOURTH_ARGUMENT),
    ],
)
def test_the_mask_is_found(attention: Callable[..., Any], expected: str) -> None:
    assert mask_parameter(attention) == expected


def test_what_takes_no_three_tensors_is_refused() -> None:
    with pytest.raises(PatchingError, match="of_hidden_states"):
        mask_parameter(of_hidden_states)


class Block(nn.Module):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor: ...


class Function(nn.Module):
    def forward(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor: ...


def test_a_module_of_hidden_states_is_a_block() -> None:
    assert is_attention_block(Block())
    assert not is_attention_block(Function())
    assert not is_attention_block(without)


def test_a_function_is_called_with_the_mask_and_weights_are_recovered() -> None:
    attention = AttentionFunction(F.scaled_dot_product_attention, FOURTH_ARGUMENT)
    output, weights = attention(QUERY, QUERY, QUERY, KEEP)
    assert weights is None
    expected = (QUERY @ QUERY.mT / 8**0.5).masked_fill(~KEEP, -torch.inf).softmax(dim=-1)
    torch.testing.assert_close(output, expected @ QUERY)
    torch.testing.assert_close(attention.recover_weights(QUERY, QUERY, KEEP), expected)


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ((QUERY, QUERY, QUERY), "a tuple of 3 items"),
        (QUERY[0], r"shape \(3, 5, 8\)"),
        (QUERY.double(), "torch.float64"),
        ("nothing", "type str"),
        ((QUERY, QUERY), "attn_weights of shape"),
    ],
)
def test_a_wrong_result_is_named(result: Any, words: str) -> None:
    with pytest.raises(PatchingError, match=words):
        AttentionFunction(lambda query, key, value: result, NO_MASK)(QUERY, QUERY, QUERY, KEEP)
