"""The gradebook: every student once, no score where there is no verdict, nothing that a spreadsheet would run."""

from __future__ import annotations

import csv
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from pytest_attn_grader.cli.grade.gradebook import look_alikes, read_class, write_gradebook
from pytest_attn_grader.errors import UsageError
from pytest_attn_grader.results.report import Diagnosis, GradeReport
from tests.support.reports import check, report_of

SCRIPT = "<script>alert(1)</script>"


def write(folder: Path, name: str, report: GradeReport | str) -> None:
    (folder / "reports").mkdir(exist_ok=True)
    text = report if isinstance(report, str) else json.dumps({"attn_grader": report.model_dump(mode="json")})
    (folder / "reports" / f"{name}.json").write_text(text, encoding="utf-8")


def wrong(error: float, *slugs: str, **more: Any) -> GradeReport:
    failed = check("failed", "equivalence", id="equivalence.basic", evidence={"output_error": error}, actual="x")
    diagnosis = Diagnosis(slugs=slugs, titles=slugs, message="m")
    return report_of(failed, check(), **more).model_copy(update={"diagnosis": diagnosis})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "ann", report_of(check()))
    write(tmp_path, "bob", wrong(0.123456789, "no-scale"))
    write(tmp_path, "cleo", wrong(0.1234567, "no-scale"))
    write(tmp_path, "dan", wrong(0.7))
    write(tmp_path, "eve", wrong(0.7))
    write(tmp_path, "fay", "half of a rep")
    ungradable = report_of(check()).model_copy(update={"verdict": "ungradable", "reason": f"=1+1 {SCRIPT}"})
    write(tmp_path, "gus", ungradable)
    return tmp_path


def test_an_assessment_is_no_student(folder: Path) -> None:
    (folder / "reports" / "ann.assessment.json").write_text('{"assessment_version": "1.0"}')
    write(folder, "hal.assessment", report_of(check()))
    ids = [row.id for row in read_class(folder)]
    assert "ann.assessment" not in ids
    assert "hal.assessment" in ids


def test_every_student_has_a_row(folder: Path) -> None:
    write_gradebook(folder)
    with (folder / "gradebook.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["ann", "bob", "cleo", "dan", "eve", "fay", "gus"]
    assert rows["ann"]["verdict"] == "passed"
    assert rows["ann"]["earned"] == rows["ann"]["possible"] == rows["ann"]["masking"]
    assert rows["bob"]["diagnosis"] == "no-scale"
    for name in ("fay", "gus"):
        # No verdict is no zero.
        assert (rows[name]["verdict"], rows[name]["earned"], rows[name]["masking"]) == ("ungradable", "", "")
    assert "unreadable report" in rows["fay"]["flags"]
    assert rows["gus"]["flags"].startswith("ungradable: =1+1")


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@x"])
def test_no_cell_is_a_formula(formula: str, tmp_path: Path) -> None:
    write(tmp_path, formula, report_of(check()))
    write_gradebook(tmp_path)
    assert (tmp_path / "gradebook.csv").read_text(encoding="utf-8").splitlines()[1].startswith(f"'{formula},")


def test_equal_errors_are_pointed_at_the_unnamed_first(folder: Path) -> None:
    assert look_alikes(read_class(folder)) == [(("dan", "eve"), ()), (("bob", "cleo"), ("no-scale",))]


def test_other_inputs_make_no_look_alikes(tmp_path: Path) -> None:
    for seed, name in enumerate(("ann", "bob")):
        write(tmp_path, name, wrong(0.7).model_copy(update={"seeds": {"inputs": seed}}))
    assert look_alikes(read_class(tmp_path)) == []


def test_the_page_shows_all_and_runs_nothing(folder: Path) -> None:
    (folder / "pages").mkdir()
    (folder / "pages" / "ann.html").write_text("page")
    write_gradebook(folder)
    html = (folder / "gradebook.html").read_text(encoding="utf-8")
    tags: list[str] = []
    links: list[str | None] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.append(tag)
            links.extend(value for name, value in attrs if name == "href")

    Reader().feed(html)
    assert "script" not in tags
    # Wherever she is named: among the slowest, and among everybody.
    assert links == ["pages/ann.html"] * 2
    assert all(name in html for name in ("ann", "gus", "no-scale", "Alike in their errors", "nobody's points"))


def test_a_group_of_look_alikes_is_named_by_all_of_its_mistakes(tmp_path: Path) -> None:
    write(tmp_path, "ann", wrong(0.7, "mask-inverted"))
    write(tmp_path, "bob", wrong(0.7, "additive-as-bool"))
    assert look_alikes(read_class(tmp_path)) == [(("ann", "bob"), ("mask-inverted", "additive-as-bool"))]


def test_no_reports(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no reports/\*.json"):
        read_class(tmp_path)
