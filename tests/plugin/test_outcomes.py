from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pytest

from pytest_attn_grader.errors import SubmissionError, UngradableError
from pytest_attn_grader.grading.evidence import CheckFailed, Evidence, NotApplicable
from pytest_attn_grader.plugin.collection import CheckMark
from pytest_attn_grader.plugin.outcomes import classify, plain_exception, show, unmet_dependency
from pytest_attn_grader.results.report import CheckResult

MARK = CheckMark("masking.future", "no weight on the future", "masking", ("contract.call",), 2.0)
Judged = tuple[CheckResult, pytest.TestReport]


@pytest.fixture
def item(request: pytest.FixtureRequest) -> pytest.Item:
    """Any test will do: this one."""
    node: pytest.Item = request.node
    return node


@pytest.fixture
def judged(item: pytest.Item) -> Callable[..., Judged]:
    """What becomes of a test that raises this."""

    def run(error: BaseException | None = None, *, mark: CheckMark = MARK, hints: bool = True) -> Judged:
        def body() -> None:
            if error is not None:
                raise error

        evidence = Evidence()
        evidence.record(largest=0.5)
        call = pytest.CallInfo.from_call(body, "call")
        with plain_exception(call):
            report = pytest.TestReport.from_item_and_call(item, call)
        result = classify(item, mark, call, evidence, hints=hints)
        if error is not None:
            show(result, error, report)
        return result, report

    return run


def test_a_test_that_ends_has_passed(judged: Callable[..., Judged], item: pytest.Item) -> None:
    result, report = judged()
    assert (result.outcome, result.message, result.expected) == ("passed", "", "")
    assert (result.id, result.title, result.category, result.weight) == (MARK.id, MARK.title, "masking", 2.0)
    assert result.needs == ("contract.call",)
    assert result.evidence == {"largest": 0.5}
    assert result.nodeid == item.nodeid
    assert 0 <= result.seconds < 1
    assert report.passed


def test_a_requirement_that_is_not_met(judged: Callable[..., Judged]) -> None:
    result, report = judged(CheckFailed("zero", "a weight of 0.5", "the mask"))
    assert result.outcome == "failed"
    assert (result.expected, result.actual, result.hint) == ("zero", "a weight of 0.5", "the mask")
    assert result.message == "no weight on the future: a weight of 0.5"
    assert result.evidence == {"largest": 0.5}
    assert report.failed
    # No frame of ours, only the three lines; and the check's id as the headline.
    assert (
        report.longreprtext == "no weight on the future\nexpected: zero\nactual:   a weight of 0.5\nhint:     the mask"
    )
    assert report.location[2] == "masking.future"


def test_without_hints_nothing_says_where_to_look(judged: Callable[..., Judged]) -> None:
    result, report = judged(CheckFailed("zero", "a weight of 0.5", "the mask"), hints=False)
    assert (result.expected, result.actual, result.hint) == ("zero", "a weight of 0.5", "")
    assert report.longreprtext == "no weight on the future\nexpected: zero\nactual:   a weight of 0.5"
    result, report = judged(SubmissionError("raised", "ValueError: no", remedy="look there"), hints=False)
    assert result.failure is not None
    assert (result.hint, result.failure.remedy) == ("", "")
    assert "look" not in report.longreprtext


def test_a_fault_of_the_student_is_a_failure(judged: Callable[..., Judged]) -> None:
    result, report = judged(SubmissionError("raised", "ValueError: no", remedy="look there", where="a.py:3"))
    assert result.outcome == "failed"
    assert result.actual == "ValueError: no (a.py:3)"
    assert result.hint == "look there"
    assert result.failure is not None
    assert result.failure.name == "raised"
    assert "Traceback" not in report.longreprtext


@pytest.mark.parametrize("when", ["setup", "call"])
def test_pytest_does_not_describe_what_is_described_here(
    when: Literal["setup", "call"], item: pytest.Item, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would read and parse the sources of every frame, also of a fixture that raised."""

    def body() -> None:
        raise SubmissionError("raised", "ValueError: no")

    getrepr = pytest.ExceptionInfo.getrepr

    def described(excinfo: pytest.ExceptionInfo[BaseException], **how: Any) -> Any:
        assert how["style"] == "value"
        return getrepr(excinfo, **how)

    monkeypatch.setattr(pytest.ExceptionInfo, "getrepr", described)
    call = pytest.CallInfo.from_call(body, when)
    original = call.excinfo
    with plain_exception(call):
        report = pytest.TestReport.from_item_and_call(item, call)
    assert report.failed
    assert call.excinfo is original, "a debugger stops at the exception itself"


def test_what_cannot_be_asked_is_skipped(judged: Callable[..., Judged], item: pytest.Item) -> None:
    result, report = judged(NotApplicable("no dropout"))
    assert (result.outcome, result.message) == ("not-applicable", "no dropout")
    assert report.skipped
    assert report.longrepr == (item.location[0], (item.location[1] or 0) + 1, "Skipped: not applicable: no dropout")


def test_a_skip_is_a_skip(judged: Callable[..., Judged]) -> None:
    result, report = judged(pytest.skip.Exception("needs contract.call"))
    assert (result.outcome, result.message) == ("skipped", "needs contract.call")
    assert report.skipped


@pytest.mark.parametrize("error", [RuntimeError("our fault"), UngradableError("our fault"), KeyError("our fault")])
def test_anything_else_is_our_own_fault(error: Exception, judged: Callable[..., Judged]) -> None:
    result, report = judged(error)
    assert result.outcome == "error"
    assert result.message == f"{type(error).__name__}: {error}"
    assert report.failed


@pytest.mark.parametrize(
    ("needs", "outcomes", "missing"),
    [
        ((), {"a": "failed"}, None),
        (("a",), {}, None),
        (("a",), {"a": "passed"}, None),
        (("a",), {"a": "not-applicable"}, None),
        (("a",), {"a": "failed"}, "a"),
        (("a",), {"a": "skipped"}, "a"),
        (("a",), {"a": "error"}, "a"),
        (("a",), {"a[one]": "passed", "a[two]": "failed"}, "a[two]"),
        (("a[one]",), {"a[one]": "passed", "a[two]": "failed"}, None),
        (("a",), {"ab": "failed", "a.b": "failed"}, None),
        (("a", "b"), {"a": "passed", "b": "failed"}, "b"),
    ],
)
def test_missing_need(needs: tuple[str, ...], outcomes: dict[str, str], missing: str | None) -> None:
    assert unmet_dependency(CheckMark("x", "x", "custom", needs), outcomes) == missing
