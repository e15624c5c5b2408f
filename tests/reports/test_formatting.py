from __future__ import annotations

import pytest

from pytest_attn_grader.reports.formatting import (
    DASH,
    Paragraph,
    diagnosis_evidence,
    distinct_token_texts,
    number,
    percent,
    render_emphasis,
    report_title,
    signed,
    split_hint,
    submission_label,
    token_text,
    visible_line_breaks,
)
from pytest_attn_grader.results.report import Diagnosis
from tests.support.pages import shown_report


@pytest.mark.parametrize(("token", "shown"), [(" cat", "cat"), (" ", "␣"), ("\n", "↵"), ("\x1b", r"\x1b"), ("é", "é")])
def test_tokens_can_be_read(token: str, shown: str) -> None:
    assert token_text(token) == shown


def test_a_leading_blank_is_shown_where_tokens_would_read_the_same() -> None:
    assert distinct_token_texts([" The", "The", " cat", "\n", " "]) == ["␣The", "The", "cat", "↵", "␣"]


def test_a_hint_is_prose_and_code() -> None:
    assert split_hint("Divide.\n\nBad:\n    a\nGood:\n    b\n\n\n\nThen look.") == [
        Paragraph(prose="Divide."),
        Paragraph(code="Bad:\n    a\nGood:\n    b"),
        Paragraph(prose="Then look."),
    ]
    assert split_hint("") == []


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("Each *query* looks, *what is* not.", "Each <em>query</em> looks, <em>what is</em> not."),
        ("q * k * v and q*k*v and **kwargs", "q * k * v and q*k*v and **kwargs"),
        ("*<b>*", "*&lt;b&gt;*"),
        ("*a <b> c*", "<em>a &lt;b&gt; c</em>"),
    ],
)
def test_stress(text: str, made: str) -> None:
    assert str(render_emphasis(text)) == made


def test_the_headline_is_not_said_twice() -> None:
    one = Diagnosis(
        slugs=("a",), titles=("forgets",), message="Your attention equals one that forgets (to 1e-7). Or so."
    )
    assert diagnosis_evidence(one) == "An attention with this mistake gives your numbers (to 1e-7). Or so."
    for other in (one.model_copy(update={"message": "No."}), one.model_copy(update={"titles": ("forgets", "b")})):
        assert diagnosis_evidence(other) == other.message


def test_numbers() -> None:
    values = (0.12345, 1e-9, "inf", "-inf", "nan", None)
    assert [number(value) for value in values] == ["0.123", "below 1e-06", "∞", "-∞", DASH, DASH]
    assert [signed(value) for value in (0.5, -0.25, 0.0, "nan")] == ["+0.5", "-0.25", "0", DASH]
    assert [percent(value) for value in (0.5, 0.0, 0.0001, "nan")] == ["50.0%", "0.0%", "< 0.1%", DASH]


@pytest.mark.parametrize(
    ("target", "label"),
    [
        ("pkg.module:attention", "pkg.module:attention"),
        ("week1/mine.py", "week1/mine.py"),
        ("/srv/class/alice/attention.py:f", "alice/attention.py:f"),
        ("C:\\class\\alice\\attention.py", "alice/attention.py"),
        ("/attention.py", "/attention.py"),
    ],
)
def test_a_label_has_no_path_from_the_root(target: str, label: str) -> None:
    assert submission_label(target) == label


def test_line_breaks_are_visible() -> None:
    assert visible_line_breaks("a\r\n\nb") == "a↵\n↵\nb"


def test_a_title_that_was_given_is_the_title() -> None:
    report = shown_report(target="/home/class/ann/attention.py")
    assert report_title(report) == "ann/attention.py"
    assert report_title(report.model_copy(update={"settings": {"title": "s 17/ä"}})) == "s 17/ä"
