"""The gradebook: one row for every member of the class, no score without a verdict, no formula in a cell."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from pytest_attn_grader.cli.grade.class_list import ClassList
from pytest_attn_grader.cli.grade.gradebook import write_gradebook
from pytest_attn_grader.cli.grade.gradebook_rows import read_class
from pytest_attn_grader.cli.grade.submissions import ClassSubmission
from pytest_attn_grader.errors import UsageError
from pytest_attn_grader.results.report import Diagnosis
from pytest_attn_grader.settings.settings import Settings
from tests.cli.grade.conftest import write_report_file, wrong
from tests.support.reports import check, report_of


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


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@x", "\uff1d1", "\uff0b1", "\uff0d1", "\uff20x"])
def test_no_cell_is_a_formula(formula: str, tmp_path: Path) -> None:
    write_report_file(tmp_path, formula, report_of(check()))
    write_gradebook(tmp_path)
    assert (tmp_path / "gradebook.csv").read_text(encoding="utf-8").splitlines()[1].startswith(f"'{formula},")


def test_the_class_list_decides_which_rows_there_are(folder: Path) -> None:
    members = (
        ClassSubmission("student10", file_stem="ann", student="Ann", notes=("late",)),
        ClassSubmission("student2", file_stem="bob"),
        ClassSubmission("=x", problem="the folder is empty", file_stem="x"),
        ClassSubmission("zoe", file_stem="zoe"),
    )
    ClassList(0, members).write(folder)
    rows = {row.id: row for row in read_class(folder)}
    # Natural order; dan, eve and the others were withdrawn.
    assert list(rows) == ["=x", "student2", "student10", "zoe"]
    assert rows["student10"].verdict == "passed"
    assert rows["=x"].flags == ("ungradable: the folder is empty",)
    assert rows["zoe"].flags == ("not graded yet",)
    write_gradebook(folder)
    with (folder / "gradebook.csv").open(encoding="utf-8", newline="") as file:
        lines = {row["id"]: row for row in csv.DictReader(file)}
    assert lines["student10"]["name"] == "Ann"
    assert lines["student10"]["notes"] == "late"
    assert lines["'=x"]["earned"] == ""


def test_a_wrong_submission_without_a_known_mistake_needs_a_look(folder: Path) -> None:
    rows = {row.id: row for row in read_class(folder)}
    assert rows["dan"].flags == ("no known mistake",)
    assert rows["bob"].flags == ()


def test_a_named_mistake_that_leaves_a_rest_unexplained_needs_a_look(folder: Path) -> None:
    report = wrong(0.5, "no-scale")
    rest = Diagnosis(
        slugs=("no-scale",), titles=("t",), message="m", unexplained="the gradient of key with one example"
    )
    write_report_file(folder, "hal", report.model_copy(update={"diagnosis": rest}))
    rows = {row.id: row for row in read_class(folder)}
    assert rows["hal"].flags == ("the named mistakes do not explain everything",)


@pytest.mark.parametrize("hints", ["none", "nudge"])
def test_a_mistake_that_was_not_to_be_named_is_no_unknown_one(folder: Path, hints: str) -> None:
    write_report_file(folder, "ivy", wrong(0.5, settings=Settings(student="ivy.py", hints=hints)))
    rows = {row.id: row for row in read_class(folder)}
    assert rows["ivy"].flags == ()


def test_no_reports(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no reports/\*.json"):
        read_class(tmp_path)
