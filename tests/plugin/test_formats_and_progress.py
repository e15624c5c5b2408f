"""End to end: one run writes every format, the JUnit file's properties and the learner's progress."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from pytest_attn_grader.reports.formats import find_format
from pytest_attn_grader.results.report import GradeReport
from pytest_attn_grader.settings.options import FORMAT_NAMES
from tests.support.runs import Run, Warm
from tests.support.students import REFERENCE

UNSCALED = REFERENCE.replace(" / math.sqrt(query.size(-1))", "")
EVERYTHING = (
    *(f"--attn-format={name}:{name}" for name in FORMAT_NAMES),
    "--attn-progress=progress.json",
    "--junitxml=junit.xml",
)


def check_the_views(run: Run) -> None:
    """Each file is the view of the report beside it."""
    report = GradeReport.model_validate(run.report)
    for name in FORMAT_NAMES:
        assert (run.folder / name).read_text() == find_format(name).render(report), name


def junit_points(folder: Path) -> float:
    root = ElementTree.parse(folder / "junit.xml").getroot()
    found = [each.get("value") for each in root.findall(".//testcase/properties/property[@name='attn_points']")]
    assert len(found) > 40
    return sum(float(value or "") for value in found)


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("-n", "2")], ids=["one process", "xdist"])
def test_one_run_writes_everything(more: tuple[str, ...], warm: Warm) -> None:
    run = warm.grade(UNSCALED, *EVERYTHING, *more)
    assert run.verdict == "failed", run.text
    check_the_views(run)
    assert junit_points(run.folder) == pytest.approx(run.report["score"]["earned"], abs=1e-3)
    lesson = json.loads((run.folder / "progress.json").read_text())["lessons"]["student"]
    assert (lesson["attempts"], list(lesson["mistakes"])) == (1, ["no-scale"])
    assert "progress: student, attempt 1, best " in run.text


def test_a_run_that_is_ungradable_writes_no_score_and_counts_no_attempt(warm: Warm) -> None:
    run = warm.grade(REFERENCE, *EVERYTHING, "--attn-model=./nowhere")
    assert (run.exit_code, run.verdict) == (10, "ungradable"), run.text
    check_the_views(run)
    assert "score" not in json.loads((run.folder / "gradescope").read_text())
    assert "progress: no attempt counted, there was no verdict" in run.text
    assert not (run.folder / "progress.json").exists()


def test_settings_that_cannot_be_used_are_said_in_every_format(warm: Warm) -> None:
    run = warm.grade(REFERENCE, *EVERYTHING, target="missing.py")
    assert (run.exit_code, run.verdict) == (4, "ungradable"), run.text
    assert "there is no file" in json.loads((run.folder / "gradescope").read_text())["output"]


@pytest.mark.slow
def test_part_of_the_checks_is_no_attempt(warm: Warm) -> None:
    run = warm.grade(UNSCALED, *EVERYTHING, "-k", "equivalence")
    assert run.verdict == "ungradable", run.text
    assert "progress: no attempt counted, there was no verdict" in run.text
    assert not (run.folder / "progress.json").exists()


@pytest.mark.slow
def test_progress_that_cannot_be_kept_is_said(warm: Warm) -> None:
    folder = warm.folder({"student.py": REFERENCE, "progress.json": '{"schema_version": "9"}'})
    run = warm.pytest(
        "--attn-student=student.py", "--attn-model=mini", "--attn-report=report.json", "--attn-progress=progress.json",
        folder=folder,
    )  # fmt: skip
    assert run.exit_code == 11, run.text
    assert "has version 9, which this grader does not know" in run.stderr
