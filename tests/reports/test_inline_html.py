"""The report of a notebook's cell."""

from __future__ import annotations

from pytest_attn_grader.reports.inline_html import render_inline
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
