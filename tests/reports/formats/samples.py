"""Reports that every format must be able to show."""

from __future__ import annotations

from typing import Any

from pytest_attn_grader.grading.assemble import RunData
from pytest_attn_grader.results.report import CheckResult, Diagnosis, GradeReport, ModelInfo, Phase
from pytest_attn_grader.results.submission import Failure, StudentInfo
from pytest_attn_grader.settings.settings import Settings
from tests.support.reports import check, report_of

HOSTILE = "\x1b[31m\x00 | `a` <script>alert(1)</script> **b** 100%\r\n::error file=x::y\n##[error]z \ud800 \u202e"


def failing(words: str = "off by 0.5", where: str | None = "mine.py:7", **more: Any) -> CheckResult:
    failure = None if where is None else Failure(name="raised", message=words, where=where, traceback=words)
    fields = {"title": "equals the reference", "expected": words, "actual": words, "hint": words, "message": words}
    return check("failed", "equivalence", failure=failure, **fields | more)


def passed() -> GradeReport:
    return report_of(check(), check("passed", "shape"), check("not-applicable", "purity"), facts=facts())


def failed(words: str = "off by 0.5", **more: Any) -> GradeReport:
    """One of three categories failed, one check was not run, one category cannot be."""
    return report_of(
        check(id="masking.future"),
        failing(words),
        check("skipped", "gradients", message="needs equivalence.x"),
        check("not-applicable", "purity"),
        facts=facts(words),
        **more,
    )


def ungradable(words: str = "the model cannot be had") -> GradeReport:
    return report_of(check(), failing(words), facts=facts(words), reason=words)


def partial() -> GradeReport:
    """A run of two checks of many, one of them passed: a part of the points is not a result."""
    return report_of(check(), failing(), facts=facts(), reason="partial: 2 of 56 checks")


def broken_import(words: str = "there is no module numpyy") -> GradeReport:
    failure = Failure(name="import-error", message=words, remedy="install it", where="mine.py:1", traceback="line 1")
    came = check("failed", "contract", failure=failure, expected="an import", actual=words, hint="the name")
    return report_of(came, check("skipped", "shape", message="needs contract.x"), facts=facts())


def large(number: int) -> GradeReport:
    """A course with hundreds of checks of its own, and a student who talks."""
    return report_of(*(failing("x" * 3000, id=f"equivalence.{n}") for n in range(number)), facts=facts("y" * 100_000))


def with_own_tests() -> GradeReport:
    return report_of(check(), other_failures=2, facts=facts())


def facts(words: str = "off by 0.5") -> RunData:
    return RunData(
        student=StudentInfo(
            target="week1/mine.py", where="mine.py:3", files=("mine.py", "parts.py"), captured_output=f"printed {words}"
        ),
        model=ModelInfo(requested="auto", used="mini", layer_idx=0, fallback_reason="no network"),
        diagnosis=Diagnosis(slugs=("no-scale",), titles=("does not scale",), message=f"no-scale {words}", hint=words),
        timing=(Phase(name="model", seconds=1.5), Phase(name="checks", seconds=2.25)),
    )


def hostile() -> list[GradeReport]:
    return [failed(HOSTILE), ungradable(HOSTILE), broken_import(HOSTILE), passed(), partial(), with_own_tests()]


def without_hints() -> GradeReport:
    return failed("SECRET", settings=Settings(student="week1/mine.py", hints="none"))
