from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import pytest

from pytest_attn_grader.grading.assemble import RunData
from pytest_attn_grader.reports.rich_summary import render_summary
from pytest_attn_grader.reports.summary import summarize
from pytest_attn_grader.reports.terminal import write_summary
from pytest_attn_grader.results.report import Diagnosis, GradeReport
from pytest_attn_grader.settings.settings import Settings
from tests.reports.test_terminal import FAILED, HARMFUL, Screen
from tests.support.reports import check, report_of

ESCAPES = re.compile(r"\x1b\[[0-9;]*m|\x1b\]8;[^\x1b]*\x1b\\")


def rendered(report: GradeReport, width: int = 80, **settings: Path) -> str:
    """The summary as a terminal shows it, colours and links left out."""
    made = render_summary(summarize(report, Settings(student="mine", **settings)), width=width)
    return ESCAPES.sub("", made)


@pytest.fixture(autouse=True)
def colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_the_most_useful_last() -> None:
    diagnosis = Diagnosis(slugs=("x",), titles=("x",), message="It forgets the mask.", hint="Fill with -inf:\n  here")
    lines = rendered(report_of(check(), FAILED, facts=RunData(diagnosis=diagnosis))).splitlines()
    assert [line.rstrip() for line in lines[-5:]] == [
        "FAILED  10 of 20 points: 1 check failed",
        "diagnosis  It forgets the mask.",
        "hint       Fill with -inf:",
        "             here",
        "more       attn-grader explain x",
    ]


def test_a_check_that_was_not_run_is_no_measured_zero() -> None:
    not_run = check("skipped", message="needs x"), check("skipped", "equivalence", message="needs x")
    lines = rendered(report_of(check(), FAILED, *not_run)).splitlines()
    assert "masking  ━━━━━━━━╌╌╌╌    6.7 / 20" in lines[0]
    assert "equivalence  not run           0 / 20" in lines[0]


@pytest.mark.parametrize(("width", "lines"), [(80, 1), (60, 2)])
def test_categories_stand_side_by_side_where_there_is_room(width: int, lines: int) -> None:
    text = rendered(report_of(check(), check("failed", "equivalence")), width)
    bars = [line for line in text.splitlines() if "\u2501" in line]
    assert len(bars) == lines
    assert all(len(line) <= width for line in text.splitlines())
    assert "20 / 20" in bars[0]


def test_what_was_written_is_a_link(tmp_path: Path) -> None:
    page = tmp_path / "my page.html"
    page.touch()
    made = render_summary(summarize(report_of(check()), Settings(student="mine", html=page)), width=200)
    assert page.as_uri() in made
    assert f"page       {page}" in ESCAPES.sub("", made)


def test_nothing_a_student_says_is_taken_for_markup_or_an_escape() -> None:
    diagnosis = Diagnosis(slugs=(), titles=(), message=f"[bold red]{HARMFUL}[/]", hint="[link=x]y[/link] :smile:")
    text = rendered(report_of(FAILED, facts=RunData(diagnosis=diagnosis)), 200)
    assert "[bold red]" in text
    assert "[link=x]y[/link] :smile:" in text
    assert "\x1b" not in text
    assert "\x07" not in text


@pytest.mark.parametrize(("encoding", "bars"), [("utf-8", "\u2501"), ("latin-1", "####"), ("ascii", "####")])
def test_plain_where_the_terminal_lacks_the_characters(
    encoding: str, bars: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "__stdout__", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    screen = Screen(isatty=True)
    write_summary(report_of(check()), screen, Settings(student="mine"))
    assert bars in screen.text
    screen.text.encode(encoding)


@pytest.mark.parametrize(("isatty", "hasmarkup"), [(True, True), (True, False), (False, True)])
def test_plain_where_it_is_no_terminal_or_colour_is_not_wanted(isatty: bool, hasmarkup: bool) -> None:
    screen = Screen(isatty=isatty, hasmarkup=hasmarkup)
    write_summary(report_of(check()), screen, Settings(student="mine"))
    assert ("\u2501" in screen.text) == (isatty and hasmarkup)
    assert ("####" in screen.text) != (isatty and hasmarkup)
