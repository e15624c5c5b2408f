from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_attn_grader.grading.assemble import RunData
from pytest_attn_grader.reports.escaping import for_terminal as printable
from pytest_attn_grader.reports.summary import MAX_ADAPTED_CHARS, format_adaptations, format_speed
from pytest_attn_grader.results.comparison import LengthTiming, Speed, Timing
from pytest_attn_grader.results.submission import Adaptation
from tests.support.reports import check, report_of


def at(tokens: int, student: float, reference: float = 0.001) -> LengthTiming:
    """Measured forward only."""
    student_timing, reference_timing = (
        Timing(median=seconds, low=seconds, high=seconds, repeats=3) for seconds in (student, reference)
    )
    return LengthTiming(tokens=tokens, student=student_timing, reference=reference_timing, transport=0.0)


@pytest.mark.parametrize(
    ("speed", "words"),
    [
        (Speed(shape="x", stopped="no time"), ""),
        (Speed(shape="x", lengths=(at(6, 0.1), at(64, 0.0015))), "1.5 times the reference's time on 64 tokens"),
        (Speed(shape="x", lengths=(at(6, 1.5),)), "1,500 times the reference's time on 6 tokens"),
        (
            Speed(shape="x", lengths=(at(64, 0.001),), stopped="slow\x1b"),
            "1 times the reference's time on 64 tokens; slow\\x1b",
        ),
    ],
)
def test_speed_in_words(speed: Speed, words: str) -> None:
    assert format_speed(report_of(facts=RunData(speed=speed))) == words


def test_without_a_curve_the_check_speaks() -> None:
    slowdown = check("passed", "budget", id="budget.slowdown", evidence={"slowdown": 2.0, "tokens": 64})
    assert format_speed(report_of(slowdown)) == "2 times the reference's time on 64 tokens"
    assert format_speed(report_of(slowdown.model_copy(update={"evidence": {}}))) == ""


@pytest.mark.parametrize(("kind", "words"), [("function", "tokens"), ("module", "projections")])
def test_who_projects_is_timed_with_its_projections(kind: str, words: str) -> None:
    report = report_of(facts=RunData(speed=Speed(shape="x", lengths=(at(64, 0.004),))))
    student = report.student.model_copy(update={"kind": kind})
    assert format_speed(report.model_copy(update={"student": student})).split()[-1] == words


@pytest.mark.parametrize(
    ("adaptations", "line"),
    [
        ({"constructed": "Attention(4)", "weights-recovered": "not returned"}, ""),
        ({"rank-2": "called with matrices. With four dimensions: RuntimeError"}, "rank-2 (called with matrices)"),
        ({"layout": "k, q, v", "one-text": "of one text\x1b"}, "layout (k, q, v); one-text (of one text\\x1b)"),
    ],
)
def test_what_was_needed_to_call_it_is_one_line(adaptations: dict[str, str], line: str) -> None:
    report = report_of()
    notes = tuple(Adaptation(name=name, why=why) for name, why in adaptations.items())
    student = report.student.model_copy(update={"adaptations": notes})
    assert format_adaptations(report.model_copy(update={"student": student})) == line
    long = report.student.model_copy(update={"adaptations": (*notes, Adaptation(name="mask", why="m" * 900))})
    assert len(format_adaptations(report.model_copy(update={"student": long}))) <= MAX_ADAPTED_CHARS


@given(st.text(st.characters(codec=None)))
def test_printable_is_printable(text: str) -> None:
    made = printable(text)
    assert made.isprintable()
    assert all(
        unicodedata.category(char)[0] not in "C" and (char == " " or unicodedata.category(char)[0] != "Z")
        for char in made
    )
    assert len(made) <= 500 + len("… (000000000 characters)")
    made.encode("utf-8")


@given(st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=500))
def test_harmless_text_stays(text: str) -> None:
    assert printable(text) == text


def test_escapes_are_shown_and_long_text_is_cut() -> None:
    assert printable("a\x1b[31m\nb\u202e") == "a\\x1b[31m\\x0ab\\x202e"
    assert printable("x" * 500) == "x" * 500
    assert printable("x" * 501) == "x" * 500 + "… (501 characters)"
    assert printable("abcdef", max_chars=3) == "abc… (6 characters)"
