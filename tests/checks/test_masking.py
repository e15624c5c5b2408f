from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from pytest_attn_grader.checks import test_masking as masking
from pytest_attn_grader.grading.evidence import CheckFailed
from pytest_attn_grader.plugin.outcomes import unmet_dependency
from tests.support.checks import every_check, put

from .conftest import Ask, attention_with

if TYPE_CHECKING:
    from pytest_attn_grader.grading.session import GradingSession

NO_MASK = {"mask": "pass"}
INVERTED = {"mask": "scores = scores if mask is None else scores.masked_fill(mask, float('-inf'))"}
AFTER_SOFTMAX = {"mask": "pass", "softmax": "weights = torch.softmax(scores, dim=-1) * (1 if mask is None else mask)"}
OWN_TRIANGLE = {
    "mask": "scores = scores.masked_fill(~torch.ones(scores.shape[-2:], dtype=torch.bool).tril(), float('-inf'))"
}
BY_ITSELF = {"signature": "def attention(query, key, value):", **OWN_TRIANGLE}


# Outputs that depend on no other token.
LOOKS_NOWHERE = {
    "zeros": {"output": "weights = weights * 0; output = query * 0"},
    "a constant": {"output": "output = torch.full_like(query, 0.5)"},
    "its own query": {"output": "output = query"},
    "its own value": {
        "softmax": "weights = torch.eye(scores.shape[-1]).expand_as(scores).clone()",
        "output": "output = value",
    },
    "the other examples": {
        "scores": "scores = torch.einsum('bhsd,chsd->hsbc', query, key) * scale",
        "mask": "pass",
        "output": "output = torch.einsum('hsbc,chsd->bhsd', weights, value)",
        "answer": "return output, torch.eye(query.shape[-2]).expand(*query.shape[:3], -1).clone()",
    },
}
# The same with projections around it: four heads of 64 wide, or narrower than one of them.
OWN_VALUE_MODULE = """
import torch


class Attention(torch.nn.Module):
    def __init__(self, embed_dim=WIDTH, num_heads=4):
        super().__init__()
        self.num_heads = num_heads
        self.query = torch.nn.Linear(embed_dim, embed_dim)
        self.key = torch.nn.Linear(embed_dim, embed_dim)
        self.value = torch.nn.Linear(embed_dim, embed_dim)
        self.proj = torch.nn.Linear(embed_dim, embed_dim)

    def forward(self, x):
        weights = torch.eye(x.shape[1]).expand(x.shape[0], self.num_heads, -1, -1).clone()
        return self.proj(self.value(x)), weights
"""


def test_a_right_attention_masks(ask: Ask) -> None:
    assert ask(masking.test_sees_others) is None
    assert ask(masking.test_no_weight_on_future) is None
    assert ask(masking.test_future_changes_nothing) is None
    assert ask(masking.test_padding, side="right") is None
    assert ask(masking.test_padding, side="left") is None
    assert ask(masking.test_cache, new_tokens=1) is None
    assert ask(masking.test_cache, new_tokens=4) is None


@pytest.mark.parametrize("lines", LOOKS_NOWHERE.values(), ids=LOOKS_NOWHERE)
def test_an_answer_that_looks_nowhere(lines: dict[str, str], ask: Ask) -> None:
    replaced = "neither when all tokens before 5 were replaced nor when all from 5 on were"
    assert ask(masking.test_sees_others, **lines) == f"no output moved by more than 0, {replaced}"
    assert ask(masking.test_future_changes_nothing, **lines) is None


@pytest.mark.parametrize("width", [256, 32])
def test_a_module_that_looks_nowhere(width: int, ask: Ask) -> None:
    source = OWN_VALUE_MODULE.replace("WIDTH", str(width))
    assert "no output moved by" in (ask(masking.test_sees_others, source=source) or "")


@pytest.mark.parametrize(
    "lines",
    [
        NO_MASK,
        INVERTED,
        {"output": "output = torch.cat([value[..., :1, :], value[..., :-1, :]], dim=-2)"},
        {"output": "output = value.mean(dim=-2, keepdim=True).expand_as(query)"},
        {"output": "output = weights @ value * float('nan')"},
        {"output": "output = weights @ value / 0"},
    ],
    ids=["everywhere", "forward", "one back", "alike everywhere", "NaN", "infinite"],
)
def test_looking_anywhere_else_is_enough(lines: dict[str, str], ask: Ask) -> None:
    assert ask(masking.test_sees_others, **lines) is None


def test_nothing_is_earned_by_looking_nowhere() -> None:
    """A control fails, and so the checks that it controls are not asked."""
    control, *others = (check.mark for check in every_check() if check.mark.category == "masking")
    assert control.id == "masking.sees-others"
    assert len(others) == 6
    assert {unmet_dependency(mark, {control.id: "failed"}) for mark in others} == {control.id}


@pytest.mark.parametrize("line", [NO_MASK, INVERTED], ids=["none", "inverted"])
def test_weight_on_the_future(line: dict[str, str], ask: Ask) -> None:
    assert "on a later token" in (ask(masking.test_no_weight_on_future, **line) or "")
    assert "earlier outputs moved by" in (ask(masking.test_future_changes_nothing, **line) or "")


def test_a_mask_after_softmax_shows_no_weight_and_leaks_all_the_same(ask: Ask) -> None:
    assert ask(masking.test_no_weight_on_future, **AFTER_SOFTMAX) is None
    assert "earlier outputs moved by" in (ask(masking.test_future_changes_nothing, **AFTER_SOFTMAX) or "")


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_mask_of_its_own_does_not_know_the_padding(side: str, ask: Ask) -> None:
    actual = ask(masking.test_padding, side=side, **OWN_TRIANGLE) or ""
    if side == "left":
        assert "a weight of" in actual
    assert ask(masking.test_no_weight_on_future, **OWN_TRIANGLE) is None
    assert "cannot know what is padding" in (ask(masking.test_padding, side=side, **BY_ITSELF) or "")


def test_the_first_examples_mask_for_all(ask: Ask) -> None:
    line = {"mask": "scores = scores if mask is None else scores.masked_fill(~mask[:1], float('-inf'))"}
    assert "masked keys" in (ask(masking.test_padding, side="left", **line) or "")


def test_a_triangle_of_the_query_length_breaks_with_a_cache(ask: Ask) -> None:
    assert "outputs that differ by" in (ask(masking.test_cache, new_tokens=1, **OWN_TRIANGLE) or "")
    assert "one new token at a time" in (ask(masking.test_cache, new_tokens=4, **BY_ITSELF) or "")


def hint_of(lines: dict[str, str], session_of: Callable[[str], GradingSession], side: str) -> str:
    with pytest.raises(CheckFailed) as caught:
        put(masking.test_padding, session_of(attention_with(**lines)), side=side)
    return caught.value.hint


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        (OWN_TRIANGLE, "the weights are those of a causal mask alone"),
        ({"softmax": "weights = scores.softmax(-1).softmax(-1)"}, "the mask is used"),
        ({"mask": "scores = scores.masked_fill(~mask, -9.0)"}, "the mask is used"),
        (
            {
                "softmax": "exps = (scores.clamp_min(-1e9) - scores.amax(-2, keepdim=True).clamp_min(-1e9)).exp(); "
                "weights = exps / exps.sum(-1, keepdim=True)"
            },
            "every maximum and sum",
        ),
    ],
    ids=["ignored", "double softmax", "small fill", "maximum over queries"],
)
def test_the_hint_for_padding_names_no_part_that_is_right(
    lines: dict[str, str], word: str, session_of: Callable[[str], GradingSession]
) -> None:
    assert word in hint_of(lines, session_of, "left")
