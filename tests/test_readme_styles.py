"""The README's table of accepted styles says what is in the corpus."""

from __future__ import annotations

from tests.support.accepted import styles
from tests.support.styles_table import BEGIN, END, README, updated


def test_the_table_is_up_to_date() -> None:
    text = README.read_text(encoding="utf-8")
    assert text.count(BEGIN) == text.count(END) == 1
    assert updated(text) == text, "run: python -m tests.support.styles_table"


def test_every_submission_has_a_line_that_leads_to_it() -> None:
    text = README.read_text(encoding="utf-8")
    for style in styles():
        place = style.file.relative_to(README.parent).as_posix()
        assert f"]({place}) | {style.description}" in text.replace("&lt;", "<")
    assert updated(text.replace("tutorial.py", "tutorials.py")) == text
