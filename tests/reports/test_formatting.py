from __future__ import annotations

import pytest

from pytest_attn_grader.reports.formatting import (
    Paragraph,
    diagnosis_evidence,
    number,
    percent,
    render_emphasis,
    split_hint,
    token_text,
)
from pytest_attn_grader.results.report import Diagnosis


@pytest.mark.parametrize(("token", "shown"), [(" cat", "cat"), (" ", "␣"), ("\n", r"\x0a"), ("é", "é")])
def test_tokens_can_be_read(token: str, shown: str) -> None:
    assert token_text(token) == shown


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
    assert [number(value) for value in (0.12345, "nan", None)] == ["0.123", "nan", "–"]  # noqa: RUF001
    assert [percent(value) for value in (0.5, 0.0, 0.0001, "nan")] == ["50.0%", "0.0%", "< 0.1%", "nan"]
