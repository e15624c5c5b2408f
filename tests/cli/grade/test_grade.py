"""A class graded for real: warm processes, real runs, interrupted and resumed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import psutil
import pytest

from pytest_attn_grader.cli.grade import grade
from pytest_attn_grader.cli.grade.copies import copy_to_own_folder
from pytest_attn_grader.cli.grade.discovery import find_submissions
from pytest_attn_grader.cli.grade.grade import ClassSettings, grade_class, make_job
from pytest_attn_grader.cli.grade.identifiers import assign_file_stems
from pytest_attn_grader.cli.grade.runners import RUNNERS, Job, Outcome, SubprocessRunner, run_job
from pytest_attn_grader.cli.grade.submissions import ClassSubmission
from tests.support.processes import command_line
from tests.support.students import REFERENCE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SEED = 11
CLASS = {
    "good": REFERENCE,
    "unscaled": REFERENCE.replace("/ math.sqrt(query.size(-1))", ""),
    "unreadable": "<<<<<<< HEAD\n",
    "hangs": f"{REFERENCE}\nwhile True: pass\n",
    "leaves": f"import os\n{REFERENCE}\nos._exit(3)\n",
}
EXPECTED = {"good": "passed", "unscaled": "failed", "unreadable": "failed", "hangs": "failed", "leaves": "failed"}


@pytest.fixture
def submissions(tmp_path: Path) -> list[ClassSubmission]:
    folder = tmp_path / "class"
    folder.mkdir()
    for name, source in CLASS.items():
        (folder / f"{name}.py").write_text(source, encoding="utf-8")
    return find_submissions([str(folder)], unpack_into=tmp_path)


@pytest.fixture
def settings(tmp_path: Path) -> ClassSettings:
    return ClassSettings(
        model="mini", device="cpu", seed=SEED, budget_seconds=90, folder=tmp_path, options=("--attn-timeout=3",)
    )


def what_counts(report: Path) -> dict[str, Any]:
    """Everything that must not depend on where and when it was graded."""
    ours = json.loads(report.read_text(encoding="utf-8"))["attn_grader"]
    checks = {check["id"]: check["outcome"] for check in ours["checks"] if check["category"] != "budget"}
    errors = {check["id"]: check["evidence"].get("output_error") for check in ours["checks"]}
    failures = {check["id"]: check["failure"] for check in ours["checks"] if check["failure"]}
    return {
        "verdict": ours["verdict"],
        "checks": checks,
        "errors": errors,
        "failures": failures,
        "score": {name: each for name, each in ours["score"]["by_category"].items() if name != "budget"},
        "diagnosis": ours["diagnosis"],
        "tolerances": ours["tolerances"],
        "sandbox": {name: ours["sandbox"][name] for name in ("tier", "limits", "workers_started", "unenforced")},
        "maps": ours["comparison"] and ours["comparison"]["maps"],
        "predictions": ours["comparison"] and ours["comparison"]["predictions"],
    }


@pytest.mark.parametrize("rehearsed_from", [0, 1000], ids=["warmed_up", "at once"])
def test_each_gets_what_a_run_of_its_own_gives(
    rehearsed_from: int,
    submissions: list[ClassSubmission],
    settings: ClassSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(grade, "WARMUP_MIN_SUBMISSIONS", rehearsed_from)
    outcomes = grade_class(submissions, settings, tmp_path / "out", processes=2)
    assert {outcome.id: outcome.verdict for outcome in outcomes} == EXPECTED
    assert all((tmp_path / "out" / "pages" / f"{name}.html").is_file() for name in CLASS)
    alike = [each for each in submissions if each.id in {"good", "unscaled", "leaves"}]
    for submission in alike if rehearsed_from == 0 else alike[:1]:
        job = make_job(copy_to_own_folder(submission, tmp_path / "own"), settings, tmp_path / "out")
        alone = tmp_path / f"{submission.id}.json"
        args = tuple(arg.replace(job.report, str(alone)) for arg in job.args)
        SubprocessRunner().run(Job(**{**vars(job), "args": args, "log": str(tmp_path / "alone.txt")}))
        assert what_counts(alone) == what_counts(Path(job.report))


def test_nobody_can_read_a_neighbours_work(tmp_path: Path, settings: ClassSettings) -> None:
    folder = tmp_path / "class"
    folder.mkdir()
    (folder / "ann.py").write_text(REFERENCE, encoding="utf-8")
    (folder / "bob.py").write_text("from ann import attention\n", encoding="utf-8")
    submissions = find_submissions([str(folder)], unpack_into=tmp_path)
    ann, bob = grade_class(submissions, settings, tmp_path / "out", processes=1)
    assert (ann.verdict, bob.verdict) == ("passed", "failed")
    report = json.loads((tmp_path / "out" / "reports" / "bob.json").read_text(encoding="utf-8"))["attn_grader"]
    assert report["score"]["earned"] == 0.0
    assert "imports 'ann', which is not installed" in report["checks"][0]["message"]


def test_a_run_that_does_not_end_is_nobodys_fault(settings: ClassSettings, tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text(REFERENCE, encoding="utf-8")
    (submission,) = find_submissions([str(tmp_path / "good.py")], unpack_into=tmp_path)
    for name in ("reports", "pages", "logs"):
        (tmp_path / name).mkdir()
    job = make_job(submission, settings, tmp_path)
    try:
        outcome = run_job(Job(**{**vars(job), "seconds": 0.01}))
        assert outcome.verdict == "ungradable"
        assert "had not ended after 0.01 s" in outcome.reason
        # The warm process serves on.
        assert run_job(job).verdict == "passed"
    finally:
        RUNNERS.close()


def test_a_warm_process_that_dies_is_replaced(settings: ClassSettings, tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text(REFERENCE, encoding="utf-8")
    (submission,) = find_submissions([str(tmp_path / "good.py")], unpack_into=tmp_path)

    def kill_after_the_first(outcome: Outcome, graded_now: bool) -> None:
        for child in psutil.Process().children():
            if "pytest_attn_grader.cli.grade.fork_server" in command_line(child):
                child.kill()

    copies = []
    for number in range(3):
        copy = tmp_path / "many" / f"good{number}.py"
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(submission.path, copy)
        copies.append(ClassSubmission(copy.stem, copy, copy))
    copies = assign_file_stems(copies)
    outcomes = grade_class(copies, settings, tmp_path / "out", processes=1, on_outcome=kill_after_the_first)
    # The one that was being graded when it died is not lost either: it is ungradable and --resume grades it.
    assert outcomes[0].verdict == outcomes[-1].verdict == "passed", [outcome.reason for outcome in outcomes]
    again = grade_class(copies, settings, tmp_path / "out", processes=1, resume=True)
    assert [outcome.verdict for outcome in again] == ["passed"] * 3
