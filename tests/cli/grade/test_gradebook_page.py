"""The gradebook's page: what it shows, what it escapes, and its search and sorting in a real browser."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from pytest_attn_grader.cli.grade.class_list import ClassList
from pytest_attn_grader.cli.grade.gradebook import write_gradebook
from pytest_attn_grader.cli.grade.gradebook_page import render_page
from pytest_attn_grader.cli.grade.gradebook_rows import read_class
from pytest_attn_grader.cli.grade.submissions import ClassSubmission
from pytest_attn_grader.results.submission import Adaptation
from tests.cli.grade.conftest import SCRIPT, write_report_file, wrong
from tests.support.reports import check, report_of

HOSTILE = f"evil\u202e\x1b[2J{SCRIPT}\" onload='x'"


class Tags(HTMLParser):
    """The tags, links and ids of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append(tag)
        self.links += [values["href"] or ""] if "href" in values else []
        self.ids += [values["id"] or ""] if "id" in values else []
        assert not any(name.startswith("on") for name in values)


def test_rows_with_a_flag_come_first_in_natural_order(folder: Path) -> None:
    html = render_page(read_class(folder))
    shown = re.findall(r'<td class="id" title="(\w+)"', html)
    assert shown == ["dan", "eve", "fay", "gus", "ann", "bob", "cleo"]


def test_mistakes_have_titles_explanations_and_links(folder: Path) -> None:
    html = render_page(read_class(folder))
    page = Tags(html)
    assert page.links.count("#no-scale") == 2
    assert "no-scale" in page.ids
    assert "Bad:" in html
    assert "Good:" in html


def test_a_mistake_that_this_version_does_not_know_is_still_listed(tmp_path: Path) -> None:
    write_report_file(tmp_path, "ann", wrong(0.1, "from-the-future"))
    assert "from-the-future" in Tags(render_page(read_class(tmp_path))).ids


def test_adaptations_and_notes_have_columns(tmp_path: Path) -> None:
    report = report_of(check())
    adapted = report.student.model_copy(update={"adaptations": (Adaptation(name="loop-heads", why="it is 3-D"),)})
    write_report_file(tmp_path, "ann", report.model_copy(update={"student": adapted}))
    ClassList(0, (ClassSubmission("ann", file_stem="ann", student="Ann Lee", notes=("late",)),)).write(tmp_path)
    html = render_page(read_class(tmp_path))
    assert all(text in html for text in ("loop-heads", "it is 3-D", "Ann Lee", "late"))


def test_names_are_escaped_and_only_the_pages_own_script_runs(tmp_path: Path) -> None:
    hostile = ClassSubmission(HOSTILE, file_stem="x", student=HOSTILE, notes=(HOSTILE,), problem=HOSTILE)
    ClassList(0, (hostile,)).write(tmp_path)
    html = render_page(read_class(tmp_path))
    assert Tags(html).tags.count("script") == 1
    (script,) = re.findall(r"<script>(.*)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in html
    assert "\u202e" not in html
    assert "\x1b" not in html


@pytest.fixture
def large_class(tmp_path: Path) -> Path:
    """Twelve students with ids of different lengths."""
    members = []
    for number in range(1, 12):
        stem = f"student{number}"
        write_report_file(tmp_path, stem, wrong(number / 10, "no-scale") if number % 2 else report_of(check()))
        members.append(ClassSubmission(stem, file_stem=stem, student=f"Name {number}"))
    members.append(
        ClassSubmission("a.very.long.id.of.a.student@students.university.example", problem="the folder is empty")
    )
    ClassList(0, tuple(members)).write(tmp_path)
    write_gradebook(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_search_sorting_and_links_in_a_browser(large_class: Path, browser: Any) -> None:
    page = browser.new_context(viewport={"width": 1200, "height": 800}).new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto((large_class / "gradebook.html").as_uri())

    def ids() -> list[str]:
        return [text.strip() for text in page.locator("td.id:visible").all_inner_texts()]

    assert len(ids()) == 12
    assert ids()[0].startswith("a.very")
    page.get_by_role("button", name="points").click()
    assert page.locator("th[aria-sort=ascending]").inner_text().startswith("points")
    page.locator("th button").first.click()
    assert ids()[1:4] == ["student1", "student2", "student3"]
    page.locator("th button").first.click()
    assert ids()[0] == "student11"
    page.fill("#search", "name 1 no-scale")
    assert ids() == ["student11", "student1"]
    assert page.inner_text("#shown") == "2 of 12 shown"
    page.fill("#search", "")
    page.locator("td a[href='#no-scale']").first.click()
    assert page.locator("details#no-scale").get_attribute("open") is not None
    assert not complaints


@pytest.mark.slow
def test_points_are_sorted_as_numbers(tmp_path: Path, browser: Any) -> None:
    for points in ("8.15", "8.2", "10", "8.1666667", "0"):
        report = wrong(0.5, "no-scale")
        score = report.score.model_copy(update={"earned": float(points)})
        write_report_file(tmp_path, f"p{points}", report.model_copy(update={"score": score}))
    write_report_file(tmp_path, "none", "no report")
    write_gradebook(tmp_path)
    page = browser.new_page()
    page.goto((tmp_path / "gradebook.html").as_uri())
    page.get_by_role("button", name="points").click()
    shown = [text.strip() for text in page.locator("td.id").all_inner_texts()]
    assert shown == ["none", "p0", "p8.15", "p8.1666667", "p8.2", "p10"]


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_the_window(width: int, scheme: str, large_class: Path, browser: Any) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.goto((large_class / "gradebook.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    heights = page.locator("td.id").evaluate_all("cells => cells.map(cell => cell.clientHeight)")
    assert max(heights) < 80, "an id wraps over many lines"
    folder = os.environ.get("ATTN_TEST_SCREENSHOTS")
    if folder:
        page.screenshot(path=str(Path(folder) / f"gradebook-{width}-{scheme}.png"), full_page=True)
