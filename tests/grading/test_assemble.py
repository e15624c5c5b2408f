from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_attn_grader.grading.assemble import RunData, assemble
from pytest_attn_grader.results.report import CATEGORIES, ModelInfo, Outcome, PromptInfo, Sandbox
from pytest_attn_grader.results.submission import StudentInfo
from pytest_attn_grader.settings.settings import Settings
from tests.support.reports import check, report_of, validate_report

OUTCOMES: tuple[Outcome, ...] = Outcome.__args__  # type: ignore[attr-defined]

# outcomes, what else is known, and what becomes of it
PARTIAL = "partial: 1 of 2 checks; a verdict and a score need all of them"
VERDICTS: list[tuple[list[str], dict[str, Any], str, str]] = [
    (["passed"], {}, "passed", ""),
    (["passed", "not-applicable"], {}, "passed", ""),
    (["passed", "failed"], {}, "failed", "1 check failed"),
    (["failed", "failed", "skipped"], {}, "failed", "2 checks failed"),
    (["passed"], {"other_failures": 1}, "failed", "1 of the instructor's own test failed"),
    (["passed"], {"other_failures": 2}, "failed", "2 of the instructor's own tests failed"),
    (["failed"], {"other_failures": 1}, "failed", "1 check failed and 1 of the instructor's own test failed"),
    (["passed"], {"reason": "no model"}, "ungradable", "no model"),
    (["failed"], {"reason": "no model"}, "ungradable", "no model"),
    (["failed"], {"reason": "no model", "other_failures": 3}, "ungradable", "no model"),
    ([], {"reason": "no model"}, "ungradable", "no model"),
    (["passed"], {"not_run": ["a"]}, "ungradable", PARTIAL),
    (["failed"], {"not_run": ["a"]}, "ungradable", PARTIAL),
    (["passed"], {"not_run": ["a"], "other_failures": 1}, "ungradable", PARTIAL),
    (["passed"], {"not_run": ["a"], "reason": "no model"}, "ungradable", "no model"),
]


@pytest.mark.parametrize(("outcomes", "known", "verdict", "reason"), VERDICTS)
def test_verdicts(outcomes: list[str], known: dict[str, Any], verdict: str, reason: str) -> None:
    report = report_of(*(check(outcome) for outcome in outcomes), **known)
    assert (report.verdict, report.reason) == (verdict, reason)
    validate_report(report)


@given(
    st.lists(st.tuples(st.sampled_from(OUTCOMES), st.sampled_from(CATEGORIES)), max_size=6),
    st.none() | st.text(max_size=10),
    st.integers(0, 2),
    st.lists(st.text(max_size=3), max_size=2),
)
def test_every_report_keeps_to_the_schema_and_its_own_rules(outcomes, reason, other_failures, not_run) -> None:
    report = report_of(
        *(check(outcome, category) for outcome, category in outcomes),
        reason=reason,
        other_failures=other_failures,
        not_run=not_run,
    )
    validate_report(report)
    failed = other_failures or any(outcome == "failed" for outcome, _ in outcomes)
    if reason is not None:
        assert report.verdict == "ungradable"
    else:
        assert report.verdict == ("ungradable" if not_run else "failed" if failed else "passed")
    assert not (not_run and report.score.possible)
    assert (report.reason == "") == (report.verdict == "passed" or reason == "")


def test_points_come_from_the_settings() -> None:
    settings = Settings(student="mine", points={"masking": 8.0})
    report = report_of(check(), check("failed"), settings=settings)
    assert [each.points_possible for each in report.checks] == [4.0, 4.0]
    assert (report.score.earned, report.score.possible) == (4.0, 8.0)


def test_before_anything_is_known_the_report_says_what_was_asked_for() -> None:
    settings = Settings(student="mine.py:f", model="owner/model", prompt="a b", sandbox="process", seed=7)
    report = assemble(settings, RunData(), (), reason="interrupted", exit_code=2)
    assert report.student == StudentInfo(target="mine.py:f")
    assert report.model == ModelInfo(requested="owner/model")
    assert report.prompt == PromptInfo(text="a b")
    assert report.sandbox == Sandbox(requested="process")
    assert report.seeds == {"inputs": 7}
    assert report.exit_code == 2
    assert report.settings["student"] == "mine.py:f"
    validate_report(report)


def test_what_is_known_is_taken_over() -> None:
    facts = RunData(
        student=StudentInfo(target="mine", name="f"),
        model=ModelInfo(requested="auto", used="mini"),
        prompt=PromptInfo(text="a b", ids=(1, 2), tokens=("a", " b")),
        sandbox=Sandbox(requested="auto", tier="process", workers_started=2),
        environment={"torch": "2"},
        peak_memory_bytes=5,
    )
    report = report_of(facts=facts)
    for name in ("student", "model", "prompt", "sandbox", "environment", "peak_memory_bytes"):
        assert getattr(report, name) == getattr(facts, name)


def test_facts_survive_the_way_between_xdist_workers() -> None:
    facts = RunData(
        fault="no model",
        fault_exit_code=10,
        student=StudentInfo(target="mine", captured_output="é\x00\n"),
        model=ModelInfo(requested="auto"),
    )
    assert RunData.model_validate_json(facts.model_dump_json()) == facts
