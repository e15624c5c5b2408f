"""What the README shows: each example, graded as a student would, from the checkout with its own settings."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.support.runs import Run, Warm

REPOSITORY = Path(__file__).parents[1]
SEED = 7
# What a mistake does to the checks that decide. How far it reaches (similarity, behaviour) is the model's affair.
FAILING = {
    "starter": {
        "weights.rows-sum-to-one",
        "masking.sees-others",
        "equivalence.basic",
        "gradients.flow[query]",
        "gradients.flow[key]",
        "gradients.flow[value]",
    },
    "wrong_axis": {
        "weights.rows-sum-to-one",
        "masking.future-changes-nothing",
        "masking.padding[right]",
        "masking.padding[left]",
        "masking.cache[1]",
        "masking.cache[4]",
        "equivalence.basic",
    },
    "wrong_gradient": {"gradients.flow[query]", "gradients.flow[key]"},
    "wrong_mask": {
        "weights.rows-sum-to-one",
        "masking.future-changes-nothing",
        "masking.padding[right]",
        "masking.padding[left]",
        "equivalence.basic",
    },
    "wrong_scale": {"equivalence.basic"},
}
# A run each, so two of them stand for all in the fast tests.
QUICK = {"wrong_axis", "wrong_mask"}
WRONG = [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in sorted(FAILING)]
EXPLAINING = {"similarity", "behaviour", "coherence"}


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
    names = {path.stem for path in (REPOSITORY / "examples").glob("*.py")} - {"__init__"}
    assert {"reference", *FAILING} <= names
    assert {name for name in names if not name.startswith("test_")} == {"reference", *FAILING}


def test_the_reference_passes_every_check(graded_example: Callable[[str], Run]) -> None:
    run = graded_example("reference")
    run.assert_tidy()
    assert (run.exit_code, run.verdict, run.report["reason"]) == (0, "passed", ""), run.text
    assert run.ids("passed") == set(run.checks)
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
        "passed": len(run.checks),
        "total": len(run.checks),
        "collected": len(run.checks),
    }
    assert {test["outcome"] for test in run.document["tests"]} == {"passed"}


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
    for check_id in FAILING[name]:
        # Under its id, the check is shown with what was asked, what came and where to look.
        check = run.checks[check_id]
        assert f" {check_id} _" in run.stdout
        for line in ("title", "expected", "actual", "hint"):
            assert check[line] in run.stdout


@pytest.mark.parametrize("name", WRONG)
def test_what_needs_a_failed_check_says_so(name: str, graded_example: Callable[[str], Run]) -> None:
    run = graded_example(name)
    skipped = run.ids("skipped")
    assert skipped
    for check_id in skipped:
        needed = run.checks[check_id]["message"].removeprefix("needs ")
        assert needed in run.ids("failed") | skipped
        assert run.checks[check_id]["points_earned"] == 0
    # -ra lists them.
    assert "needs " in run.stdout


@pytest.mark.parametrize("name", WRONG)
def test_the_last_lines_name_the_problem(name: str, graded_example: Callable[[str], Run]) -> None:
    summary = graded_example(name).stdout.partition("= attention grader =")[2]
    assert "diagnosis: " in summary or "first failure: " in summary
