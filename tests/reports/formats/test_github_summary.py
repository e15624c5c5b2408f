from __future__ import annotations

import re

import pytest
from markdown_it import MarkdownIt

from pytest_attn_grader.reports.formats import github_summary
from pytest_attn_grader.settings.settings import Settings
from tests.reports.formats import samples


def html(report) -> str:
    return MarkdownIt("commonmark").enable("table").render(github_summary.render(report))


def test_summary_says_the_same_as_the_terminal() -> None:
    shown = html(samples.failed())
    assert "<h2>Attention: Failed, 21.05 of 100 points: 1 check failed</h2>" in shown
    assert "week1/mine.py in layer 0 of mini" in shown
    assert "<strong>Diagnosis.</strong> no-scale off by 0.5" in shown
    assert "<strong>More.</strong> attn-grader explain no-scale" in shown
    assert re.search(r'<td>masking</td>\s*<td style="text-align:right">20</td>', shown)
    assert "expected: off by 0.5<br>actual:   off by 0.5<br>hint:     off by 0.5" in shown


@pytest.mark.parametrize(
    ("catalogue", "shown"),
    [
        ("https://course.example/m", '<a href="https://course.example/m/no-scale.html">'),
        ("https://course.example/m?a=1&b=2", "https://course.example/m?a=1&amp;b=2/no-scale.html"),
        ("https://course.example/><script>", "https://course.example/&gt;&lt;script&gt;/no-scale.html"),
    ],
)
def test_a_mistake_has_a_link_to_the_catalogue(catalogue: str, shown: str) -> None:
    report = samples.failed(settings=Settings(student="mine.py", catalogue=catalogue))
    assert f"<strong>More.</strong> {shown}" in html(report)
    assert "<script" not in html(report)


def test_nothing_of_a_student_s_is_markup() -> None:
    for report in samples.hostile():
        shown = html(report)
        assert "<script" not in shown
        tags = {"h2", "h3", "p", "br", "strong", "table", "thead", "tbody", "tr", "th", "td", "details", "summary"}
        assert set(re.findall(r"<([a-z0-9]+)", shown)) <= tags
        assert not any(line.lstrip().startswith("::") for line in github_summary.render(report).splitlines())


def test_an_ungradable_run_says_so_first() -> None:
    assert "<h2>Attention: Not graded, and no points given or taken: the model cannot be had</h2>" in html(
        samples.ungradable()
    )


def test_a_summary_is_never_so_large_that_github_drops_it() -> None:
    text = github_summary.render(samples.large(400))
    assert len(text.encode()) <= github_summary.MAX_BYTES < 2**20 / 2
    assert "Failed, 0 of 100 points" in html(samples.large(20))
