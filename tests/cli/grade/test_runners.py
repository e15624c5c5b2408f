"""The processes that grading runs are started in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_attn_grader.cli.grade.runners import ForkServerRunner, Job, Runner, SubprocessRunner, can_fork
from tests.support.students import REFERENCE

# Of libraries that the grader imports sooner or later, and of its own plugin.
NAMES = ("numpy", "jinja2", "h2", "pydantic", "transformers", "pytest_attn_grader")


def runners() -> list[Runner]:
    return [SubprocessRunner(), *([ForkServerRunner("mini", "cpu")] if can_fork() else [])]


@pytest.mark.slow
@pytest.mark.parametrize("runner", runners(), ids=lambda runner: type(runner).__name__)
def test_files_beside_a_submission_are_not_run_by_the_grader(
    runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(f"from pathlib import Path\nPath({str(tmp_path / 'was_run')!r}).touch()\n")
    (tmp_path / "mine.py").write_text(REFERENCE)
    report = tmp_path / "report.json"
    monkeypatch.chdir(tmp_path)
    args = (f"--attn-student={tmp_path / 'mine.py'}", "--attn-model=mini", f"--attn-report={report}")
    job = Job("mine", (*args, "-p", "no:cacheprovider"), str(tmp_path), str(report), "log.txt", "mini", "cpu", 120.0)
    try:
        assert runner.run(job) == 0, (tmp_path / "log.txt").read_text()
    finally:
        runner.close()
    assert json.loads(report.read_text())["attn_grader"]["verdict"] == "passed"
    assert not (tmp_path / "was_run").exists()
