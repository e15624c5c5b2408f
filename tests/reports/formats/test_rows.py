from __future__ import annotations

import base64
import html
import json

import pytest

from pytest_attn_grader.errors import UsageError
from pytest_attn_grader.reports.formats import FORMATS, find_format
from pytest_attn_grader.reports.formats.rows import fit_to_size, points_text, rows, source_location, total
from pytest_attn_grader.reports.formats.rows import verdict_line as verdict_of
from pytest_attn_grader.results.submission import StudentInfo
from pytest_attn_grader.settings.options import FORMAT_NAMES
from pytest_attn_grader.settings.settings import Settings
from tests.reports.formats import samples
from tests.support.reports import check, report_of


def test_the_names_on_the_command_line_are_the_registry_s() -> None:
    assert tuple(known.name for known in FORMATS) == FORMAT_NAMES
    with pytest.raises(UsageError, match=r"'moodle'.*gradescope, github"):
        find_format("moodle")


@pytest.mark.parametrize("chosen", FORMATS, ids=lambda known: known.name)
def test_every_format_takes_every_report_and_lets_nothing_through(chosen) -> None:
    for report in [*samples.hostile(), samples.large(50), report_of(reason="never began")]:
        text = chosen.render(report)
        assert text.endswith("\n")
        text.encode("utf-8")
        assert not set(text) & {"\x1b", "\x00", "\r", "\u202e"}


def test_a_partial_run_is_ungradable_in_every_format() -> None:
    texts = {chosen.name: chosen.render(samples.partial()) for chosen in FORMATS}
    assert not {"score", "tests"} & set(json.loads(texts["gradescope"]))
    assert json.loads(texts["prairielearn"])["gradable"] is False
    assert json.loads(texts["exercism"])["status"] == "error"
    classroom = json.loads(base64.b64decode(texts["classroom"].partition("=")[2]))
    assert (classroom["status"], classroom["max_score"], classroom["tests"]) == ("error", 0, [])
    assert "points |" not in texts["github"]
    assert texts["github-annotations"].startswith("::warning ")
    for name, text in texts.items():
        if name != "classroom":
            assert "2 of 56 checks" in html.unescape(text), name


def test_points_are_on_the_scale_of_the_whole_assignment() -> None:
    """What cannot be asked costs nothing, and what was not selected counts as missed."""
    report = samples.failed()
    assert total(report) == (pytest.approx(20 * 100 / 95), 100)
    shown = rows(report)
    assert [row.outcome for row in shown] == ["passed", "failed", "not-run"]
    assert sum(row.points for row in shown) == pytest.approx(total(report)[0], abs=1e-5)
    full = report_of(*(check("passed", name) for name in report.settings["points"] if name not in {"custom", "purity"}))
    moot = report_of(*full.checks, check("not-applicable", "purity"))
    assert total(full) == (95, 100)
    assert total(moot) == (100, 100)


def test_a_course_s_own_points_count() -> None:
    settings = Settings(student="x", points={"masking": 8.0, "custom": 2.0})
    assert total(report_of(check(), settings=settings)) == (8, 8)
    assert total(report_of(check(), check("failed", "custom"), settings=settings)) == (8, 10)
    assert total(report_of(check(), settings=Settings(student="x", points={}))) == (0, 0)


@pytest.mark.parametrize(
    ("target", "where", "place"),
    [
        ("mine.py", "mine.py:7", ("mine.py", 7)),
        ("week1/mine.py:attention", "mine.py:7", ("week1/mine.py", 7)),
        ("./week1/mine.py", "parts.py:2", ("week1/parts.py", 2)),
        ("/srv/week1/mine.py", "mine.py:7", ("/srv/week1/mine.py", 7)),
        ("mine", "mine.py:7", ("mine.py", 7)),
        # a file that is none of the submission's: where the function begins, or nowhere
        ("mine.py", "functional.py:90", ("mine.py", 3)),
        ("mine.py", "mine.py: cell 3", ("mine.py", 3)),
        ("mine.py", None, ("mine.py", 3)),
    ],
)
def test_places_are_relative_to_where_the_run_was_started(target: str, where: str | None, place) -> None:
    failed = samples.failing(where=where)
    student = StudentInfo(target=target, where="mine.py:3", files=("mine.py", "parts.py"))
    report = report_of(failed).model_copy(update={"student": student})
    assert source_location(failed, report) == place
    assert source_location(failed, report_of(failed)) is None
    assert source_location(check(), report) is None


def test_an_instructor_s_own_failing_tests_are_said() -> None:
    last = rows(samples.with_own_tests())[-1]
    assert (last.outcome, last.message) == ("failed", "2 of the instructor's own tests failed")


def test_without_hints_only_what_came_is_said() -> None:
    words = rows(samples.without_hints())[1].message
    assert "actual:" in words
    assert "hint:" not in words
    for chosen in FORMATS:
        assert "no-scale SECRET" not in chosen.render(samples.without_hints())


def test_verdicts_in_a_line() -> None:
    assert verdict_of(samples.passed()) == "Passed, 31.58 of 100 points"
    assert verdict_of(samples.failed()) == "Failed, 21.05 of 100 points: 1 check failed"
    assert verdict_of(samples.ungradable()) == "Not graded, and no points given or taken: the model cannot be had"


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (100, "100"), (2.5, "2.5"), (1 / 3, "0.33")])
def test_points_as_people_write_them(value: float, text: str) -> None:
    assert points_text(value) == text


def test_the_first_that_fits() -> None:
    assert fit_to_size(iter(("äää", "ab")), 5) == "ab"
    with pytest.raises(ValueError, match="5 bytes"):
        fit_to_size(("abcdef",), 5)
