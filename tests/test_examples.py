"""Each example, graded as a visitor would: from the checkout, with its settings."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pytest_attn_grader.cli.app import app
from tests.support.runs import Run, Warm

REPOSITORY = Path(__file__).parents[1]
SEED = 7
# What a mistake does to the checks that decide. How far it reaches (similarity, behaviour) is the model's affair.
FAILING = {
    "student.starter": {
        "weights.rows-sum-to-one",
        "masking.sees-others",
        "equivalence.basic",
        "gradients.flow[query]",
        "gradients.flow[key]",
        "gradients.flow[value]",
    },
    "student.wrong_axis": {
        "weights.rows-sum-to-one",
        "masking.future-changes-nothing",
        "masking.padding[right]",
        "masking.padding[left]",
        "masking.cache[1]",
        "masking.cache[4]",
        "equivalence.basic",
    },
    "student.wrong_gradient": {"gradients.flow[query]", "gradients.flow[key]"},
    "student.wrong_mask": {
        "weights.rows-sum-to-one",
        "masking.future-changes-nothing",
        "masking.padding[right]",
        "masking.padding[left]",
        "equivalence.basic",
    },
    "student.wrong_scale": {"equivalence.basic"},
}
# A run each, so two of them stand for all in the fast tests.
QUICK = {"student.wrong_axis", "student.wrong_mask"}
WRONG = [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in sorted(FAILING)]
EXPLAINING = {"similarity", "behaviour", "coherence"}
# The examples take no fewer key/value heads than query heads, have no cache, no switches and no projections.
NOT_APPLICABLE = {
    "equivalence.option[without-weights]",
    "equivalence.option[causal-switch]",
    "equivalence.projections",
    "equivalence.option[other-mask]",
    "equivalence.option[scale]",
    "equivalence.grouped[groups]",
    "equivalence.grouped[multi-query]",
    "equivalence.cache[cache-tokens]",
    "equivalence.cache[cache-chunks]",
    "equivalence.cache[cache-padded]",
}


@pytest.fixture(scope="module")
def graded_example(warm: Warm) -> Callable[[str], Run]:
    """The run of one example; each is graded once."""

    @cache
    def grade(name: str) -> Run:
        report = warm.folder() / f"{name}.json"
        args = (
            f"--attn-student=examples.{name}",
            "--attn-model=mini",
            f"--attn-seed={SEED}",
            f"--attn-report={report}",
            "-ra",
        )
        return warm.pytest(*args, "-p", "no:cacheprovider", folder=REPOSITORY, report=str(report))

    return grade


def test_every_example_is_graded_here() -> None:
    names = {f"student.{path.stem}" for path in (REPOSITORY / "examples" / "student").glob("[!_]*.py")}
    assert names == set(FAILING)


def test_the_reference_passes_every_check(graded_example: Callable[[str], Run]) -> None:
    run = graded_example("reference")
    run.assert_tidy()
    assert (run.exit_code, run.verdict, run.report["reason"]) == (0, "passed", ""), run.text
    assert run.ids("passed") == set(run.checks) - NOT_APPLICABLE
    score = run.report["score"]
    assert score["earned"] == score["possible"] == 100
    assert all(category["earned"] == category["possible"] for category in score["by_category"].values())
    assert "PASSED  100 of 100 points" in run.stdout
    assert f"report: {run.report_path}" in run.stdout
    assert "warning" not in run.text.lower()


def test_the_report_of_the_reference_is_complete(graded_example: Callable[[str], Run]) -> None:
    run = graded_example("reference")
    report = run.report
    assert report["student"]["name"] == "attention"
    assert report["student"]["sha256"]
    assert report["model"]["used"] == "mini"
    assert report["model"]["fallback_reason"] is None
    assert len(report["prompt"]["ids"]) == len(report["prompt"]["tokens"]) == 6
    assert report["seeds"] == {"inputs": SEED}
    assert report["comparison"]["heads"]
    assert report["tolerances"]
    assert report["sandbox"]["tier"] in {"process", "bwrap"}
    assert report["diagnosis"] is None
    assert sum(phase["seconds"] for phase in report["timing"]) <= run.seconds
    # The rest of the document is pytest-json-report's own.
    assert run.document["summary"] == {
        "passed": len(run.checks) - len(NOT_APPLICABLE),
        "skipped": len(NOT_APPLICABLE),
        "total": len(run.checks),
        "collected": len(run.checks),
    }
    assert {test["outcome"] for test in run.document["tests"]} == {"passed", "skipped"}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_example_fails_for_its_own_reason(name: str, graded_example: Callable[[str], Run]) -> None:
    run = graded_example(name)
    run.assert_tidy()
    assert (run.exit_code, run.verdict) == (1, "failed"), run.text
    assert not run.ids("error")
    failed = run.ids("failed")
    assert {check_id for check_id in failed if run.checks[check_id]["category"] not in EXPLAINING} == FAILING[name]
    assert run.report["score"]["earned"] < run.report["score"]["possible"] == 100
    assert f"{len(failed)} checks failed" in run.stdout
    first = next(check_id for check_id, check in run.checks.items() if check["outcome"] == "failed")
    for check_id in FAILING[name]:
        # Under its id, the check is shown with its title and the actual value.
        check = run.checks[check_id]
        assert f" {check_id} _" in run.stdout
        # The first one is also shown with what was expected and a hint.
        more = ("expected", "hint") if check_id == first else ()
        for line in ("title", "actual", *more):
            assert check[line] in run.stdout


@pytest.mark.sampled(1)
@pytest.mark.parametrize("name", WRONG)
def test_what_needs_a_failed_check_says_so(name: str, graded_example: Callable[[str], Run]) -> None:
    run = graded_example(name)
    skipped = run.ids("skipped")
    assert skipped
    for check_id in skipped:
        needed = run.checks[check_id]["message"].removeprefix("needs ")
        assert needed in run.ids("failed") | skipped
        assert run.checks[check_id]["points_earned"] == 0
    assert "needs " in run.stdout


@pytest.mark.parametrize("name", WRONG)
def test_the_last_lines_name_the_problem(name: str, graded_example: Callable[[str], Run]) -> None:
    summary = graded_example(name).stdout.partition("= attention grader =")[2]
    assert "diagnosis: " in summary or "first failure: " in summary


@pytest.mark.slow
def test_the_notebook_passes() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--attn-model=mini"]
    command += ["--attn-student=examples/notebook/week3.ipynb"]
    run = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=240, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.slow
def test_the_course_s_own_checks_points_and_conventions(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--attn-student=examples.reference"]
    command += ["--attn-model=mini", "-c", "examples/instructor/pytest.ini", f"--attn-report={report}"]
    run = subprocess.run(
        [*command, "examples/instructor"], cwd=REPOSITORY, capture_output=True, text=True, timeout=240, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    graded = json.loads(report.read_text())["attn_grader"]
    assert graded["verdict"] == "passed"
    points = {name: category["possible"] for name, category in graded["score"]["by_category"].items()}
    assert (points["equivalence"], points["custom"], sum(points.values())) == (15, 5, 100)


@pytest.mark.slow
def test_one_command_grades_the_class(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest_attn_grader.cli.app", "grade", "--roster", "examples/class/roster.csv"]
    command += ["--out", str(tmp_path / "graded"), "--model", "mini"]
    run = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=400, check=False)
    assert "2 passed, 4 failed" in run.stdout, run.stdout + run.stderr
    with (tmp_path / "graded" / "gradebook.csv").open(encoding="utf-8") as file:
        named = {row["id"]: row["diagnosis"] for row in csv.DictReader(file)}
    assert named == {
        "s01": "",
        "s02": "no-scale",
        "s03": "",
        "s04": "softmax-query-axis",
        "s05": "mask-inverted",
        "s06": "undefined-name",
    }


def test_the_workflow_is_the_course_kit_s(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["init", str(tmp_path / "course")])
    assert result.exit_code == 0, result.output
    made = tmp_path / "course" / ".github" / "workflows" / "grade.yml"
    assert (REPOSITORY / "examples" / "ci" / "grade.yml").read_text() == made.read_text(), "run: attn-grader init"
