"""What a notebook shows below a cell: verdict, mistake, hint and maps, with the submission's words escaped."""

from __future__ import annotations

import html
import re

import pytest

from pytest_attn_grader.reports.inline_html import render_inline
from pytest_attn_grader.results.report import Diagnosis
from tests.support.pages import NAN, RIGHT, causal, comparison, shown_report


def text_of(page: str) -> str:
    text = re.sub(r"<style>.*?</style>|<details>.*</details>", "", page, flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())


def test_a_named_mistake_has_headline_evidence_hint_and_maps() -> None:
    title = "divides the scores by head_dim"
    message = f"Your attention equals one that {title} (to the last digit)."
    named = Diagnosis(slugs=("scale-dk",), titles=(title,), message=message, hint="Think of the square root.")
    page = render_inline(shown_report(diagnosis=named))
    text = text_of(page)
    assert text.startswith("Not yet")
    assert f"Your attention {title}. An attention with this mistake gives your numbers (to the last digit)." in text
    assert "Hint. Think of the square root." in text
    assert page.count('<table class="attn-map">') == 3
    assert "Shown is the head that differs most." in text
    # The failed check is on the whole page.
    assert "expected softmax of scaled scores" not in text


def test_where_no_mistake_is_named_the_failed_check_is_shown() -> None:
    text = text_of(render_inline(shown_report(diagnosis=Diagnosis(slugs=(), titles=(), message="No known mistake."))))
    assert "No known mistake. Equals the reference : expected softmax of scaled scores; actual weights off" in text


def test_a_mistake_leads_to_its_page_where_the_catalogue_is_published() -> None:
    assert "More about it: attn-grader explain scale-dk" in text_of(render_inline(shown_report()))
    report = shown_report()
    for catalogue, links in (("https://example.org/mistakes", 2), ("javascript:alert(1)//", 0)):
        page = render_inline(report.model_copy(update={"settings": {**report.settings, "catalogue": catalogue}}))
        # Below the cell and on the whole page.
        assert html.unescape(page).count(f'href="{catalogue}/scale-dk.html"') == links


def test_titles_of_several_mistakes_are_not_repeated() -> None:
    message = (
        "Your attention has 2 mistakes, the most fundamental first: (1) it has no softmax; (2) it has no scale. "
        "An attention that makes them gives your numbers (to the last digit, on 13 probes)."
    )
    titles = ("has no softmax", "has no scale")
    text = text_of(render_inline(shown_report(diagnosis=Diagnosis(slugs=("a", "b"), titles=titles, message=message))))
    assert text.count("no softmax") == text.count("no scale") == 1
    assert "An attention that makes them gives your numbers (to the last digit, on 13 probes)." in text


@pytest.mark.parametrize(
    ("student", "cells", "words"),
    [
        (RIGHT, ["0.75"], "No head differs."),
        (
            causal(-15.238, 16.0, 4.056, 0.0, 0.0, 0.0),
            ["-15.2", "16.0", "4.06"],
            "Shown is the head that differs most.",
        ),
        (causal(NAN, 0.25, 0.75, 0.1, 0.2, 0.7), ["–"], "Shown is the head that differs most."),  # noqa: RUF001
    ],
    ids=["right", "large", "nan"],
)
def test_weights_have_three_digits(student: list[list[float]], cells: list[str], words: str) -> None:
    page = render_inline(shown_report(comparison(student)))
    shown = re.findall(r"<td [^>]*>([^<]*)</td>", page)
    assert set(cells) <= set(shown)
    assert words in text_of(page)


def test_nothing_is_loaded_and_nothing_of_a_submission_is_markup() -> None:
    page = render_inline(
        shown_report(diagnosis=Diagnosis(slugs=(), titles=(), message="<img src=x>"), words="<script>alert(1)</script>")
    )
    outside = page.partition("<iframe")[0]
    assert "<img" not in outside
    assert "<script" not in outside
    assert not re.findall(r"https?://|@import|url\(", outside)
