"""Similarity, behaviour, budget and contract: what is asked of the attention inside the model, and around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from pytest_attn_grader.checks import test_behaviour as behaviour
from pytest_attn_grader.checks import test_budget as budget
from pytest_attn_grader.checks import test_contract as contract
from pytest_attn_grader.checks import test_similarity as similarity
from pytest_attn_grader.grading.evidence import CheckFailed, Evidence

from .conftest import Ask, attention_with

if TYPE_CHECKING:
    from pytest_attn_grader.grading.session import GradingSession

METRICS = [(param.values[0], param.values[1], param.values[2]) for param in similarity.METRICS]
UNIFORM = {"scores": "scores = query @ key.transpose(-2, -1) * 0"}
NAN = {"output": "output = weights @ value * float('nan')"}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: str(metric[0]))
def test_similarity(metric: tuple[str, bool, str], ask: Ask) -> None:
    name, larger, meaning = metric
    keywords = {"metric": name, "larger_is_better": larger, "meaning": meaning}
    assert ask(similarity.test_similarity, **keywords) is None
    assert "in layer 0, head" in (ask(similarity.test_similarity, **keywords, **UNIFORM) or "")


def test_behaviour_of_a_right_attention(ask: Ask) -> None:
    assert ask(behaviour.test_next_token) is None
    assert ask(behaviour.test_loss) is None
    assert ask(behaviour.test_continuation, cache=False) is None
    assert ask(behaviour.test_continuation, cache=True) is None


@pytest.mark.parametrize("line", [UNIFORM, NAN], ids=["uniform", "nan"])
def test_behaviour_of_a_wrong_attention(line: dict[str, str], ask: Ask) -> None:
    """NaN is a wrong answer like any other: it fails the check, and breaks nothing."""
    assert "nats a token" in (ask(behaviour.test_loss, **line) or "")
    assert ask(behaviour.test_continuation, cache=False, **line) is not None


@pytest.mark.parametrize(("factor", "outcome"), [(1.1, "too little to matter here"), (8.0, "a difference of")])
def test_the_limit_of_the_loss_is_a_share_of_the_layers_effect(
    factor: float, outcome: str, session_of: Callable[[str], GradingSession]
) -> None:
    session = session_of(attention_with(scale=f"scale = {factor} / math.sqrt(query.shape[-1])"))
    evidence, message = Evidence(), ""
    try:
        behaviour.test_loss(session.comparison, session.settings, evidence)
    except CheckFailed as failed:
        message = str(failed)
    numbers = evidence.numbers
    assert numbers["limit"] == pytest.approx(0.001 * numbers["layer_effect"])
    assert 0.001 < numbers["limit"] < 0.02
    assert outcome in (message or str(numbers.get("note", "")))
    assert ("(uniform attention in layer 0 changes it by 5.64)" in message) == (factor == 8.0)


def test_the_effect_of_a_layer_is_measured_for_another_loss_only(
    session_of: Callable[[str], GradingSession],
) -> None:
    assert session_of(attention_with()).comparison.predictions.layer_effect is None


def test_a_prediction_that_is_not_a_number(ask: Ask) -> None:
    assert "NaN or infinite" in (ask(behaviour.test_next_token, **NAN) or "")


def test_the_budget(ask: Ask) -> None:
    assert ask(budget.test_run) is None
    assert ask(budget.test_slowdown, scale="import time; time.sleep(0.2); scale = 0.125") is not None


def test_the_contract(ask: Ask) -> None:
    for check in (contract.test_import, contract.test_target, contract.test_call, contract.test_own_work):
        assert ask(check) is None
    assert "SyntaxError" in (ask(contract.test_import, source="def attention(query:\n") or "")
    assert "no function that fits" in (ask(contract.test_target, source="x = 1\n") or "")
    raises = {"answer": "raise ValueError('not yet')"}
    assert "ValueError: not yet" in (ask(contract.test_call, **raises) or "")
