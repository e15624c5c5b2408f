"""Dropout as outputs show it: the recognisers of the catalogue, on attentions that drop in different ways."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from pytest_attn_grader.attention.reference import reference_attention
from pytest_attn_grader.misconceptions import find_misconception
from pytest_attn_grader.misconceptions.stages import StageOverride
from pytest_attn_grader.misconceptions.training import find_dropouts

AMOUNTS = [
    "dropout-fixed-rate",
    "dropout-keeps-p",
    "dropout-divides-by-p",
    "dropout-no-rescale",
    "dropout-same-every-call",
    "dropout-shared",
    "dropout-renormalised",
]


@pytest.mark.parametrize("slug", AMOUNTS)
def test_another_amount_is_named_and_nothing_else(slug: str, diagnose_attention: Callable[..., Any]) -> None:
    diagnosis = diagnose_attention(find_misconception(slug).attention)
    assert diagnosis is not None
    assert diagnosis.slugs == (slug,)


@pytest.mark.parametrize("slug", ["dropout-no-rescale", "dropout-keeps-p"])
def test_it_is_named_beside_a_wrong_formula(slug: str, diagnose_attention: Callable[..., Any]) -> None:
    both = find_misconception(slug).changes[0].combine(find_misconception("no-scale").changes[0])
    assert both is not None
    diagnosis = diagnose_attention(both.pipeline())
    assert diagnosis is not None
    assert set(diagnosis.slugs) == {"no-scale", slug}


def test_right_dropout_gets_no_name(case_of: Callable[[Any], Any], diagnose_attention: Callable[..., Any]) -> None:
    assert diagnose_attention(reference_attention) is None
    found = find_dropouts(case_of(reference_attention))
    assert found is not None
    assert {p: dropout.matches(p) for p, dropout in found.items()} == {0.1: True, 0.3: True}


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_random_mask_that_is_broadcast(axis: int, diagnose_attention: Callable[..., Any]) -> None:
    def drop(attn_weights: Tensor, inputs: Any) -> Tensor:
        if not inputs.training:
            return attn_weights
        shape = [1 if each == axis else size for each, size in enumerate(attn_weights.shape)]
        return attn_weights * (torch.rand(shape) >= inputs.dropout_p) / (1 - inputs.dropout_p)

    diagnosis = diagnose_attention(StageOverride({"drop": drop}).pipeline())
    assert diagnosis is not None
    assert diagnosis.slugs == ("dropout-shared",)
    assert ("examples", "heads", "queries")[axis] in diagnosis.message
