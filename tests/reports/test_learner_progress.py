from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pytest_attn_grader.reports import learner_progress
from pytest_attn_grader.reports.learner_progress import PROGRESS_VERSION, Progress, ProgressError, lesson_name, record
from pytest_attn_grader.reports.schema import PROGRESS_SCHEMA_FILE, schema_text
from tests.reports.formats import samples
from tests.support.reports import report_of

RECORD = """
import sys
from pathlib import Path
from pytest_attn_grader.reports.learner_progress import record
from pytest_attn_grader.results.report import GradeReport

report = GradeReport.model_validate_json(Path(sys.argv[1]).read_text())
for _ in range(int(sys.argv[3])):
    record(report, Path(sys.argv[2]), whole=True)
    print("kept", flush=True)
"""


def read(path: Path) -> dict[str, Any]:
    document = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(json.loads(PROGRESS_SCHEMA_FILE.read_text())).validate(document)
    return document["lessons"]


def recording(tmp_path: Path, path: Path, times: int) -> subprocess.Popen[str]:
    """Another process that records this many attempts, and says so after each."""
    (tmp_path / "report.json").write_text(samples.failed().model_dump_json())
    command = [sys.executable, "-c", RECORD, str(tmp_path / "report.json"), str(path), str(times)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_the_shipped_schema_is_the_model_s() -> None:
    assert PROGRESS_SCHEMA_FILE.read_text(encoding="utf-8") == schema_text("progress")
    jsonschema.Draft202012Validator.check_schema(json.loads(schema_text("progress")))
    assert PROGRESS_VERSION in json.loads(schema_text("progress"))["description"]


def test_attempts_best_score_status_and_mistakes(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    assert record(samples.failed(), path, whole=True) == "progress: week1.mine, attempt 1, best 36%"
    lesson = read(path)["week1.mine"]
    assert (lesson["status"], lesson["attempts"], lesson["passed"]) == ("in-progress", 1, None)
    assert lesson["history"][0]["failed_checks"] == ["equivalence.x"]
    assert lesson["history"][0]["diagnosis"] == ["no-scale"]
    done = samples.passed().model_copy(update={"diagnosis": None})
    assert record(done, path, whole=True) == "progress: week1.mine, attempt 2, best 100%"
    record(samples.failed(), path, whole=True)
    lesson = read(path)["week1.mine"]
    assert (lesson["status"], lesson["attempts"], lesson["best_score"], lesson["best_attempt"]) == ("passed", 3, 1.0, 2)
    assert lesson["mistakes"]["no-scale"]["times"] == 2
    assert lesson["passed"] == lesson["history"][1]["when"]


def test_lessons_are_kept_apart(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    record(samples.failed(), path, whole=True)
    record(report_of(), path, whole=True)
    assert set(read(path)) == {"week1.mine", "mine"}


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("mine", "mine"),
        ("mine.py", "mine"),
        ("./week1/mine.py", "week1.mine"),
        ("week1.mine", "week1.mine"),
        ("week1\\mine.py:attention", "week1.mine:attention"),
        ("week 3.ipynb:f", "week 3:f"),
        ("/home/me/course/week1/mine.py", "week1.mine"),
        ("C:\\course\\week1\\mine.py", "week1.mine"),
    ],
)
def test_a_lesson_has_one_name_however_it_is_typed(target: str, name: str) -> None:
    assert lesson_name(target) == name


@pytest.mark.parametrize(
    ("report", "whole", "why"),
    [(samples.ungradable(), True, "there was no verdict"), (samples.failed(), False, "not every check was run")],
)
def test_what_is_no_attempt(report: Any, whole: bool, why: str, tmp_path: Path) -> None:
    assert record(report, tmp_path / "p.json", whole=whole) == f"progress: no attempt counted, {why}"
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "damage", [b"{", b"\xff\xfe", b"[]", b'{"lessons": {"a": {}}}', b'{"surprise": 1}', b"[" * 100_000]
)
def test_a_damaged_file_is_set_aside_and_said_so(damage: bytes, tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    for number in (1, 2):
        path.write_bytes(damage)
        said = record(samples.failed(), path, whole=True)
        aside = sorted(tmp_path.glob("progress.json.damaged-*"))
        assert len(aside) == number
        assert "progress.json.damaged-" in said
        assert all(each.read_bytes() == damage for each in aside)
        assert read(path)["week1.mine"]["attempts"] == 1


def test_an_empty_file_is_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    path.write_text(" \n")
    assert "damaged" not in record(samples.failed(), path, whole=True)


def test_a_newer_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    path.write_text('{"schema_version": "2.0", "lessons": {}}')
    with pytest.raises(ProgressError, match=r"has version 2\.0, which this grader does not know"):
        record(samples.failed(), path, whole=True)
    assert path.read_text() == '{"schema_version": "2.0", "lessons": {}}'


def test_a_summary_that_was_changed_by_hand_is_worked_out_again(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    record(samples.failed(), path, whole=True)
    document = json.loads(path.read_text())
    document["lessons"]["week1.mine"] |= {"status": "passed", "best_score": 1.0, "attempts": 7}
    assert Progress.model_validate(document).lessons["week1.mine"].attempts == 1


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ProgressError, match="could not be updated"):
        record(samples.failed(), tmp_path / "file" / "p.json", whole=True)


def test_a_lock_that_is_never_freed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from filelock import FileLock

    monkeypatch.setattr(learner_progress, "LOCK_SECONDS", 0.1)
    with FileLock(tmp_path / ".p.json.lock"), pytest.raises(ProgressError, match=r"locked for 0\.1 s"):
        record(samples.failed(), tmp_path / "p.json", whole=True)


def test_runs_that_end_together_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    others = [recording(tmp_path, path, 15) for _ in range(3)]
    assert [other.wait(60) for other in others] == [0, 0, 0]
    for other in others:
        other.communicate()
    assert read(path)["week1.mine"]["attempts"] == 45


@pytest.mark.skipif(os.name != "posix", reason="kills")
def test_a_run_that_is_killed_while_it_writes_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    other = recording(tmp_path, path, 100_000)
    assert other.stdout is not None
    kept = [other.stdout.readline() for _ in range(20)]
    other.send_signal(signal.SIGKILL)
    kept += other.communicate()[0].splitlines()
    attempts = read(path)["week1.mine"]["attempts"]
    assert attempts in {len(kept), len(kept) + 1}
    record(samples.failed(), path, whole=True)
    assert read(path)["week1.mine"]["attempts"] == attempts + 1
