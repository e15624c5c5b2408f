from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.grading.evidence import CheckFailed, Evidence, NotApplicable, format_number
from pytest_attn_grader.results.report import CheckResult
from pytest_attn_grader.results.submission import Failure

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)) | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers() | st.none(), inner, max_size=3)
    ),
    max_leaves=8,
)


def as_written(**numbers: Any) -> Any:
    """What a reader of the report finds after `note`, both ways a result is written."""
    evidence = Evidence()
    evidence.record(**numbers)
    result = CheckResult(id="a", title="b", category="custom", outcome="passed", evidence=evidence.numbers)
    written = json.loads(json.dumps(result.model_dump(mode="json"), allow_nan=False))
    assert CheckResult.model_validate_json(result.model_dump_json()) == result
    return written["evidence"]


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), ANYTHING, max_size=4))
def test_whatever_is_noted_becomes_json(numbers: dict[str, Any]) -> None:
    assert as_written(**numbers).keys() == numbers.keys()


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.25, 0.25),
        (True, True),
        (3, 3),
        (None, None),
        ("text", "text"),
        (float("nan"), "nan"),
        ([float("inf"), {"x": float("-inf")}], ["inf", {"x": "-inf"}]),
        ((1, 2), [1, 2]),
        ({7}, [7]),
        ({1: "a"}, {"1": "a"}),
        (torch.tensor(0.5), 0.5),
        (torch.tensor([[1.0, float("nan")]]), [[1.0, "nan"]]),
        ({"weights": [torch.ones(2)]}, {"weights": [[1.0, 1.0]]}),
        (torch.Size([1, 2]), [1, 2]),
        (torch.float32, "torch.float32"),
        ("\ud800", "\\ud800"),
    ],
)
def test_values_keep_their_meaning(value: object, written: object) -> None:
    assert as_written(x=value) == {"x": written}
    assert type(as_written(x=value)["x"]) is type(written)


def test_what_is_noted_later_replaces_what_was_noted_before() -> None:
    evidence = Evidence()
    evidence.record(a=1, b=2)
    evidence.record(b=3)
    assert evidence.numbers == {"a": 1, "b": 3}


def test_require() -> None:
    evidence = Evidence()
    evidence.check(True, expected="a", actual="b", hint="c")
    with pytest.raises(CheckFailed) as caught:
        evidence.check(False, expected="rows that sum to 1", actual="sums of 2", hint="softmax")
    assert str(caught.value) == "expected: rows that sum to 1\nactual:   sums of 2\nhint:     softmax"
    assert (caught.value.expected, caught.value.actual, caught.value.hint) == (
        "rows that sum to 1",
        "sums of 2",
        "softmax",
    )
    assert caught.value.failure is None


def test_a_failed_requirement_is_an_assertion_as_any_other() -> None:
    with pytest.raises(AssertionError):
        Evidence().check(False, expected="", actual="", hint="")


def test_require_answer() -> None:
    Evidence().require_answer(None, expected="an answer")
    failure = Failure.from_error(SubmissionError("raised", "ValueError: no", remedy="look", where="a.py:3"))
    with pytest.raises(CheckFailed) as caught:
        Evidence().require_answer(failure, expected="an answer")
    assert str(caught.value) == "expected: an answer\nactual:   ValueError: no (a.py:3)\nhint:     look"
    assert caught.value.failure is failure


def test_a_failure_without_place_and_remedy() -> None:
    error = CheckFailed.for_failure("an answer", Failure(name="timeout", message="It took longer than 10 s."))
    assert (error.actual, error.hint) == (
        "It took longer than 10 s.",
        "read the message and the line it names",
    )


def test_not_applicable() -> None:
    with pytest.raises(NotApplicable, match=r"^no dropout parameter$"):
        Evidence().not_applicable("no dropout parameter")
    assert not issubclass(NotApplicable, CheckFailed)


def test_a_number_that_does_not_exist_is_a_dash_with_a_reason() -> None:
    assert format_number(0.12345) == "0.123"
    assert format_number(-0.5, "+.1f") == "-0.5"
    for value in (float("nan"), float("inf")):
        assert "NaN or infinite" in format_number(value)
