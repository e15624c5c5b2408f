from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_attn_grader.cli.demo import Measured, graded_steps
from pytest_attn_grader.cli.demo import steps as demo_steps
from pytest_attn_grader.cli.demo.graded_steps import DemoRun
from tests.support.checkpoints import REPO_ROOT


def run(out: Path, monkeypatch: pytest.MonkeyPatch, *steps: Measured) -> tuple[bool, list[str]]:
    """Run a demo of steps with these results."""
    made = [("a claim", lambda found=found: found) for found in steps]
    monkeypatch.setattr(demo_steps, "_steps", lambda out, model: iter(made))
    lines: list[str] = []
    return demo_steps.run_demo(out, model="mini", write_line=lines.append), lines


def test_every_step_is_printed_with_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good, lines = run(tmp_path / "new", monkeypatch, (True, ("1 of 1",)), (True, ()))
    assert good
    assert lines[:2] == [" 1  a claim", "      1 of 1"]
    assert lines[-1].startswith("All steps passed, in ")


def test_a_step_that_fails_makes_the_demo_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good, lines = run(tmp_path, monkeypatch, (False, ()), (True, ()))
    assert not good
    assert "FAILED" in lines[1]
    assert lines[-1].startswith("Some steps failed")


def test_a_demo_that_takes_too_long_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_steps, "BUDGET_SECONDS", 0.0)
    good, lines = run(tmp_path, monkeypatch, (True, ()))
    assert not good
    assert "limit is 0 s" in lines[-1]


def outcome(name: str, **changes: Any) -> DemoRun:
    """A run that ended as it should, but for the changes."""
    slug = graded_steps.EXPECTED.get(name)
    right = slug is None and name != graded_steps.INCOMPATIBLE
    report = {
        "verdict": "passed" if right else "failed",
        "score": {"earned": 200 / 3, "possible": 100.0},
        "diagnosis": None if slug is None else {"slugs": [slug], "titles": ["does it wrong"], "look_alikes": []},
        "student": {"adaptations": [{"name": "dimension-adapter", "why": "it is narrow"}]},
        "checks": [{"outcome": "passed" if right else "failed", "actual": "an error", "hint": "line 8"}],
    }
    fields = {"name": name, "exit_code": 0 if right else 1, "report": report, "missing": ()}
    return DemoRun(**fields | changes)


STEPS = ("check_width_adapter", "check_incompatible", "check_diagnoses")


def graded_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **changes: dict[str, Any]) -> list[Measured]:
    monkeypatch.setattr(graded_steps, "grade", lambda out, name, model: outcome(name, **changes.get(name, {})))
    submissions = graded_steps.GradedSteps(tmp_path, "mini")
    return [getattr(submissions, step)() for step in STEPS]


def test_graded_steps_passed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow, incompatible, explained = graded_demo(tmp_path, monkeypatch)
    assert narrow == (True, ("width_64: passed, 66.7 of 100 points", "dimension-adapter: it is narrow"))
    assert incompatible[0]
    assert incompatible[1][1:] == ("actual: an error", "hint: line 8")
    assert explained[0]
    assert explained[1][1] == "no_scale: failed, 66.7 of 100 points: does it wrong"
    assert len(explained[1]) == 5


@pytest.mark.parametrize(
    ("name", "change", "step"),
    [
        ("width_64", {"exit_code": 1}, 0),
        ("incompatible", {"exit_code": 0}, 1),
        ("reference", {"exit_code": 1}, 2),
        ("reference", {"missing": ("page.html",)}, 2),
        ("no_mask", {"exit_code": 0}, 2),
        ("no_scale", {"report": outcome("no_mask").report}, 2),
        ("softmax_over_queries", {"missing": ("plots/head.png",)}, 2),
    ],
)
def test_a_run_that_is_not_as_expected_fails_its_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, change: dict[str, Any], step: int
) -> None:
    found = graded_demo(tmp_path, monkeypatch, **{name: change})
    assert [is_good for is_good, _ in found] == [place != step for place in range(3)]


@pytest.mark.slow
def test_the_whole_demo(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from pytest_attn_grader.cli.app import app; app()", "demo", "--model", "mini"]
    environment = os.environ | {"PYTHONPATH": str(REPO_ROOT)}
    done = subprocess.run(
        [*command, "--out", str(tmp_path)], capture_output=True, text=True, timeout=280, check=False, env=environment
    )
    assert "FAILED" not in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("reference", "no_scale", "softmax_over_queries", "no_mask"):
        report = json.loads((tmp_path / name / "report.json").read_text())["attn_grader"]
        assert report["verdict"] == ("passed" if name == "reference" else "failed")
        assert (tmp_path / name / "page.html").stat().st_size < 1_000_000
        assert len(list((tmp_path / name / "plots").iterdir())) == 8
        assert report["evaluation"]["criteria"]
    assert not (tmp_path / "incompatible" / "plots").exists(), "there was nothing to compare"
    assert (tmp_path / "width_64" / "page.html").is_file()
