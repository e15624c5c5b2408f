"""The report of a notebook's cell."""

from __future__ import annotations

import math

import pytest

from pytest_attn_grader.reports import inline_html
from pytest_attn_grader.reports.inline_html import MAX_TOKENS, render_inline
from tests.support.pages import comparison, shown_report


def test_it_shows_the_verdict_and_three_maps_without_a_script() -> None:
    html = render_inline(shown_report(comparison()))
    shown = html.partition("srcdoc")[0]
    assert "<script" not in shown
    assert "failed" in shown.lower()
    assert shown.count("<table") == 3


def test_without_a_comparison_there_are_no_maps() -> None:
    html = render_inline(shown_report(None).model_copy(update={"comparison": None}))
    assert "<table" not in html.partition("srcdoc")[0]


@pytest.mark.parametrize(
    ("weight", "text", "sign"),
    [
        (0.25, "0.25", "more"),
        (-0.5, "-0.50", "less"),
        (-0.001, "", "less"),
        (0.0, "", "more"),
        (math.nan, "\N{EN DASH}", "more"),
    ],
)
def test_a_cell(weight: float, text: str, sign: str) -> None:
    cell = inline_html._cell(weight)
    assert (cell.text, cell.sign) == (text, sign)
    assert 0 <= float(cell.strength) <= 1


def test_large_maps_are_cut() -> None:
    rows = tuple((0.1,) * 40 for _ in range(40))
    cut = inline_html._cut(rows)
    assert (len(cut), len(cut[0])) == (MAX_TOKENS, MAX_TOKENS)
