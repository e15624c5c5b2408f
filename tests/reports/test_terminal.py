from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from pytest_attn_grader.grading.assemble import RunData
from pytest_attn_grader.reports.terminal import BAR_WIDTH, report_header, write_summary
from pytest_attn_grader.results.report import Diagnosis, GradeReport, ModelInfo, Phase
from pytest_attn_grader.results.submission import StudentInfo
from pytest_attn_grader.settings.settings import Settings
from tests.support.reports import check, report_of

HARMFUL = "\x1b[2J\x1b]0;title\x07\r\n\x00\u202e\u200b\ud800\x9b31m"


class Screen:
    """What was written, line by line."""

    def __init__(self, *, isatty: bool = False, hasmarkup: bool = True, verbosity: int = 0) -> None:
        self.isatty = isatty
        self.hasmarkup = hasmarkup
        self.verbosity = verbosity
        self.lines: list[str] = []
        self.markup: dict[str, set[str]] = {}

    def write_sep(self, sep: str, title: str | None = None, **markup: bool) -> None:
        self.write_line(f"{sep} {title}", **markup)

    def write_line(self, line: str, **markup: bool) -> None:
        self.lines.append(line)
        self.markup[line] = {name for name, on in markup.items() if on}

    def write(self, content: str, *, flush: bool = False, **markup: bool) -> None:
        for line in content.splitlines():
            self.write_line(line, **markup)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def shown(made: GradeReport, **settings: Any) -> Screen:
    screen = Screen()
    write_summary(made, screen, Settings(student="mine", **settings))
    return screen


FAILED = check("failed", expected="zero", actual="a weight of 0.5", hint="the mask", title="no weight on the future")


def test_a_passed_run() -> None:
    facts = RunData(
        student=StudentInfo(target="mine.py", name="attention"),
        model=ModelInfo(
            requested="auto", used="mini", num_layers=3, num_heads=4, head_dim=64, layer_idx=1, device="cpu"
        ),
    )
    screen = shown(report_of(check(), check("passed", "budget"), facts=facts))
    assert screen.lines == [
        "= attention grader",
        f"  masking      {'#' * BAR_WIDTH}    20 / 20",
        f"  budget       {'#' * BAR_WIDTH}     5 / 5",
        "graded: mine.py (attention) in layer 1 of mini (3 layers, 4 heads of 64) on cpu",
        "PASSED  25 of 25 points",
    ]
    assert screen.markup["PASSED  25 of 25 points"] == {"green", "bold"}
    assert screen.markup[screen.lines[1]] == {"green"}


def test_where_the_time_went_is_said_when_asked_for() -> None:
    phases = (Phase(name="probes", seconds=0.25), Phase(name="load model", seconds=1.5), Phase(name="other", seconds=0))
    made = report_of(check(), facts=RunData(timing=phases))
    screen = Screen(verbosity=1)
    write_summary(made, screen, Settings(student="mine"))
    assert "time: 1.8 s (load model 1.50, probes 0.25)" in screen.lines
    assert not any(line.startswith("time:") for line in shown(made).lines)


def test_a_failed_run_ends_with_what_to_look_at() -> None:
    screen = shown(report_of(check(), FAILED, check("failed", actual="later")))
    assert screen.lines == [
        "= attention grader",
        "  masking      #######.............   6.7 / 20",
        "graded: mine",
        "FAILED  6.7 of 20 points: 2 checks failed",
        "first failure: no weight on the future",
        "actual: a weight of 0.5 (expected: zero)",
        "hint: the mask",
    ]
    assert screen.markup["FAILED  6.7 of 20 points: 2 checks failed"] == {"red", "bold"}
    assert screen.markup["first failure: no weight on the future"] == {"bold"}
    assert screen.markup[screen.lines[1]] == {"red"}


def test_a_check_that_was_not_run_is_no_measured_zero() -> None:
    need = "needs masking.future"
    screen = shown(
        report_of(
            check(),
            FAILED,
            check("skipped", message=need),
            check("skipped", "similarity", message=need),
            check("skipped", "similarity", message="needs similarity\x1b"),
            check("passed", "gradients"),
            *(check("failed", "gradients") for _ in range(18)),
            check("skipped", "gradients", message=need),
        )
    )
    assert screen.lines[1:5] == [
        "  masking      #######......-------   6.7 / 20  1 not run",
        "  similarity   --------------------     0 / 4  not run",
        "  gradients    #..................-   0.8 / 15  1 not run",
        "not run: 3 checks (needs masking.future), 1 check (needs similarity\\x1b)",
    ]


def test_the_header_names_no_model_that_is_not_chosen_yet() -> None:
    assert report_header(Settings(student="mine.py"), None) == ["attn-grader: mine.py in layer 0"]
    assert report_header(Settings(student="mine.py", model="mini"), None) == ["attn-grader: mine.py in layer 0 of mini"]


def test_the_named_mistake_comes_before_the_first_failure() -> None:
    facts = RunData(diagnosis=Diagnosis(slugs=("no-mask",), titles=("forgets",), message="It forgets.", hint="Mask."))
    screen = shown(report_of(FAILED, facts=facts))
    assert screen.lines[-4:] == [
        "FAILED  0 of 20 points: 1 check failed",
        "diagnosis: It forgets.",
        "hint: Mask.",
        "more: attn-grader explain no-mask",
    ]
    assert "the mask" not in screen.text


def test_each_of_several_mistakes_has_the_command_that_explains_it() -> None:
    facts = RunData(diagnosis=Diagnosis(slugs=("no-mask", "scale-dk"), titles=("a", "b"), message="Both."))
    lines = shown(report_of(FAILED, facts=facts)).lines
    assert lines[-2:] == ["more: attn-grader explain no-mask", "      attn-grader explain scale-dk"]


def test_the_lines_of_a_hint_stay_lines() -> None:
    diagnosis = Diagnosis(slugs=(), titles=(), message="m", hint="Write:\n    softmax(x)\x1b")
    screen = shown(report_of(FAILED, facts=RunData(diagnosis=diagnosis)))
    assert "hint: Write:\n          softmax(x)\\x1b" in screen.text


def test_a_diagnosis_without_a_hint_says_where_to_look() -> None:
    facts = RunData(diagnosis=Diagnosis(slugs=(), titles=(), message="None of the known ones."))
    lines = shown(report_of(FAILED, facts=facts)).lines
    assert lines[-3:] == [
        "diagnosis: None of the known ones.",
        "actual: a weight of 0.5 (expected: zero)",
        "hint: the mask",
    ]


def test_without_hints_it_is_said_what_failed_and_nothing_more() -> None:
    """The grading itself has left out diagnosis and directions; so they are in no view of the report."""
    report = report_of(FAILED.model_copy(update={"hint": ""}), settings=Settings(student="x", hints="none"))
    screen = shown(report, hints="none")
    assert "actual: a weight of 0.5 (expected: zero)" in screen.lines
    assert "the mask" not in screen.text


def test_an_ungradable_run() -> None:
    screen = shown(report_of(reason="no model\x1b[0m"))
    assert screen.lines[-2] == "UNGRADABLE: no model\\x1b[0m"
    assert "no points" in screen.lines[-1]
    assert screen.markup[screen.lines[-2]] == {"yellow", "bold"}
    assert "no points" not in shown(report_of(check(), reason="interrupted")).text


def test_a_replaced_model_is_noted() -> None:
    facts = RunData(model=ModelInfo(requested="auto", used="mini", fallback_reason="the hub is\x1b away"))
    assert "note: graded in the embedded model, because the hub is\\x1b away" in shown(report_of(facts=facts)).lines


def test_where_the_report_lies(tmp_path: Path) -> None:
    (tmp_path / "r.json").touch()
    assert shown(report_of(check()), report=tmp_path / "r.json").lines[-1] == f"report: {tmp_path / 'r.json'}"
    assert "report:" not in shown(report_of(check())).text
    assert "page:" not in shown(report_of(check()), html=tmp_path / "none.html").text, "what is not there is not named"


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such names")
@pytest.mark.parametrize("name", ["\x1b]0;title\x07.html", "a\n::error::b.html", "x\udcff.html", "\u202egpj.html"])
def test_the_name_of_a_file_does_nothing_on_a_terminal(name: str, tmp_path: Path) -> None:
    page = tmp_path / name
    page.touch()
    for isatty in (False, True):
        screen = Screen(isatty=isatty)
        write_summary(report_of(check()), screen, Settings(student=name, html=page))
        text = re.sub(r"\x1b\[[0-9;]*m|\x1b\]8;[^\x1b]*\x1b\\", "", screen.text)
        assert all(line.isprintable() for line in text.split("\n"))
        assert not any(line.lstrip().startswith("::") for line in text.split("\n"))
        text.encode("utf-8")


def test_categories_that_are_worth_nothing_are_left_out() -> None:
    assert "custom" not in shown(report_of(check(), check("failed", "custom"))).text


def test_nothing_a_student_says_reaches_the_terminal_as_it_is() -> None:
    facts = RunData(
        student=StudentInfo(target=HARMFUL, name=HARMFUL),
        diagnosis=None,
        model=ModelInfo(requested="x", used="mini", fallback_reason=HARMFUL),
    )
    failed = check("failed", expected=HARMFUL, actual=HARMFUL * 1000, hint=HARMFUL)
    diagnosis = Diagnosis(slugs=(), titles=(), message=HARMFUL, hint=HARMFUL)
    for report in (
        report_of(failed, facts=facts),
        report_of(failed, facts=facts.model_copy(update={"diagnosis": diagnosis})),
        report_of(failed, reason=HARMFUL),
    ):
        for line in shown(report).lines:
            assert line.isprintable()
            assert len(line) < 1500
