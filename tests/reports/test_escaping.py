"""Nothing of a student's words does anything where it is shown."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from pytest_attn_grader.reports.escaping import (
    escape_unprintable,
    for_annotation,
    for_json,
    for_log,
    for_markdown,
    for_path,
    for_terminal,
)

NASTY = "\x1b[2J\x1b]0;title\x07 \u202e \ud800 \x00 \r\n::error file=x::forged\n  ##[error]forged\n##vso[task]\n"
texts = st.text(st.characters(exclude_categories=())) | st.sampled_from([NASTY, "::a", "\n\n::a", "\t##x"])


@given(texts)
def test_a_terminal_gets_one_line_of_what_can_be_seen(text: str) -> None:
    shown = for_terminal(text)
    assert shown.isprintable()
    assert len(shown) < 600
    shown.encode("utf-8")


@given(texts)
def test_no_line_of_a_log_is_an_order(text: str) -> None:
    shown = for_log(text)
    shown.encode("utf-8")
    assert all(line.isprintable() for line in shown.replace("\t", " ").split("\n"))
    assert not any(line.strip().startswith(("::", "##")) for line in shown.splitlines())
    assert "##[" not in shown


@given(texts)
def test_a_file_name_is_one_printable_line(name: str) -> None:
    assert for_path(name).isprintable()
    assert for_path("/a b/ü.py") == "/a b/ü.py"


def test_what_is_harmless_stays_as_it_is() -> None:
    text = "actual: x::y\n\ttabs, naïve 🐈 and a # in the middle"
    assert for_log(text) == escape_unprintable(text) == text
    assert for_log("a\n ::error::x") == "a\n \\::error::x"


@pytest.mark.parametrize(
    ("text", "message", "value"),
    [
        ("100% a\nb", "100%25 a%0Ab", "100%25 a%0Ab"),
        ("a:b,c\r", "a:b,c%0D", "a%3Ab%2Cc%0D"),
        ("\x1b[31m", "\\x1b[31m", "\\x1b[31m"),
        ("é", "é", "é"),
    ],
)
def test_an_annotation_is_one_line_and_one_property(text: str, message: str, value: str) -> None:
    assert for_annotation(text) == message
    assert for_annotation(text, is_property=True) == value


@given(texts)
def test_an_annotation_never_breaks_its_line(text: str) -> None:
    assert len(for_annotation(text).splitlines()) <= 1
    assert not set(for_annotation(text, is_property=True)) & set("\r\n:,")


@given(st.text(alphabet="ab\n|`*_[]()<>!#&;-=~\\:/@0. "))
def test_markdown_shows_the_text_and_nothing_else(text: str) -> None:
    """In a paragraph and in a cell of a table: no markup but the line breaks that were made."""
    text = f"x{for_log(text)}x"
    render = MarkdownIt("commonmark").enable("table").render
    shown = for_markdown(text)
    plain = shown.replace("<br>", "\n")
    for number in range(128):
        plain = plain.replace(
            f"&#{number};", {38: "&amp;", 60: "&lt;", 62: "&gt;", 34: "&quot;"}.get(number, chr(number))
        )
    expected = plain.replace("\n", "<br>")
    assert " ".join(render(shown).split()) == " ".join(f"<p>{expected}</p>".split())
    table = render(f"| a | b |\n|---|---|\n| {shown} | y |\n")
    assert " ".join(f"<td>{expected}</td>".split()) in " ".join(table.split())
    assert table.count("<td>") == 2


@pytest.mark.parametrize("escape", [for_log, for_annotation, for_markdown])
def test_what_is_cut_is_said(escape: Callable[[str, int], str]) -> None:
    assert escape("abcdef", 3).startswith("abc… ")
    assert "6 characters" in escape("abcdef", 3)
    assert escape("abc", 3) == "abc"


@given(texts)
def test_markdown_is_one_line(text: str) -> None:
    assert len(for_markdown(text).splitlines()) <= 1


@given(st.recursive(texts, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3)))
def test_json_has_whole_characters_only(value: object) -> None:
    written = json.dumps(for_json(value), ensure_ascii=False)
    assert json.loads(written.encode("utf-8")) == for_json(value)


def test_json_keeps_what_is_whole() -> None:
    value = {"a": ["é", "🐈", 1, 0.5, None, True], "b": ("x",)}
    assert for_json(value) == {"a": ["é", "🐈", 1, 0.5, None, True], "b": ["x"]}
    assert for_json("\udcff") == "\\udcff"
