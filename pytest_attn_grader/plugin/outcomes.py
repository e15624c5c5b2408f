"""Classify how a check ended, and show its failure without a traceback of the grader."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.grading.evidence import CheckFailed, Evidence, NotApplicable
from pytest_attn_grader.plugin.collection import CheckMark
from pytest_attn_grader.reports.escaping import for_log
from pytest_attn_grader.results.report import CheckResult
from pytest_attn_grader.results.submission import Failure


def classify(
    item: pytest.Item,
    mark: CheckMark,
    call: pytest.CallInfo[Any],
    evidence: Evidence | None = None,
    *,
    own: bool = True,
    hints: bool = True,
) -> CheckResult:
    """Make the result of a check from the exception that ended it.

    A failed check and a fault of the student's code are failures, and so is any exception in an instructor's own check.
    Any other exception is the grader's own fault: the outcome `error` makes the run ungradable and costs no points.

    Args:
        own: whether it is one of the grader's checks, not an instructor's.
        hints: whether the result says where to look. Terminal, JSON and page show what is decided here.
    """
    result = CheckResult(
        id=mark.id,
        title=mark.title,
        category=mark.category,  # type: ignore[arg-type]  # pydantic refuses unknown ones, with the names of all
        outcome="passed",
        weight=mark.weight,
        needs=mark.needs,
        evidence={} if evidence is None else dict(evidence.numbers),
        seconds=call.duration,
        nodeid=item.nodeid,
    )
    if call.excinfo is None:
        return result
    error = call.excinfo.value
    if isinstance(error, SubmissionError):
        error = CheckFailed.for_failure("an answer of your attention inside the model", Failure.from_error(error))
    if isinstance(error, CheckFailed):
        return _failed(result, error, hints=hints)
    if isinstance(error, NotApplicable):
        return result.model_copy(update={"outcome": "not-applicable", "message": str(error)})
    if isinstance(error, pytest.skip.Exception):
        return result.model_copy(update={"outcome": "skipped", "message": str(error.msg)})
    if call.when == "call" and not own:
        actual = str(error).strip().partition("\n")[0] or type(error).__name__
        return _failed(result, CheckFailed(mark.title, actual, f"the course's own check {item.nodeid}"), hints=hints)
    return result.model_copy(update={"outcome": "error", "message": f"{type(error).__name__}: {error}"})


def _failed(result: CheckResult, error: CheckFailed, *, hints: bool) -> CheckResult:
    failure = error.failure
    if failure is not None and not hints:
        failure = failure.model_copy(update={"remedy": ""})
    return result.model_copy(
        update={
            "outcome": "failed",
            "expected": error.expected,
            "actual": error.actual,
            "hint": error.hint if hints else "",
            "message": f"{result.title}: {error.actual}",
            "failure": failure,
        }
    )


@contextmanager
def plain_exception(call: pytest.CallInfo[Any]) -> Iterator[None]:
    """Let pytest make its report from a failure or skip without traceback, where `show` writes the text.

    pytest would read and parse the source of every frame, only to show code of the grader.
    """
    original = call.excinfo
    if original is not None:
        plain: BaseException | None = None
        if isinstance(original.value, (CheckFailed, SubmissionError)):
            plain = pytest.fail.Exception("", pytrace=False)
        elif isinstance(original.value, NotApplicable):
            plain = pytest.skip.Exception("")
        if plain is not None:
            call.excinfo = pytest.ExceptionInfo.from_exc_info((type(plain), plain, original.tb))
    try:
        yield
    finally:
        call.excinfo = original


def show(result: CheckResult, error: BaseException, report: pytest.TestReport) -> None:
    """Write the text of a failed or not applicable check into pytest's report."""
    if isinstance(error, NotApplicable):
        path, line, _ = report.location
        report.longrepr = (path, (line or 0) + 1, f"Skipped: not applicable: {error}")
    elif isinstance(error, (CheckFailed, SubmissionError)):
        lines = {"expected: ": result.expected, "actual:   ": result.actual, "hint:     ": result.hint}
        report.longrepr = for_log("\n".join([result.title, *(label + text for label, text in lines.items() if text)]))
        # The headline of the failure: the check's id says more than the name of the test function.
        report.location = (*report.location[:2], result.id)


def is_diagnosable(result: CheckResult) -> bool:
    """Whether a check shows a mistake that a diagnosis can name; a slow submission has none."""
    return result.outcome == "failed" and (result.category != "budget" or result.failure is not None)


def unmet_dependency(mark: CheckMark, outcomes: Mapping[str, str]) -> str | None:
    """Find a needed check that did not pass; None when there is none.

    A check that was not run blocks nothing.
    """
    broken = (check_id for check_id, outcome in outcomes.items() if outcome in {"failed", "skipped", "error"})
    return next((check_id for check_id in broken if mark.depends_on(check_id)), None)
