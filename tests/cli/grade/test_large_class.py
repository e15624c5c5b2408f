"""A large class in one command, killed and interrupted in the middle: every row of the gradebook is right."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.support.classes import Expected, graded_ids, write_class
from tests.support.processes import command_line, wait_until_ended

SIZE = 60
SEED = 8
COMMAND = [sys.executable, "-m", "pytest_attn_grader.cli.app", "grade"]
OPTIONS = ["--model", "mini", "--seed", str(SEED), "--quiet", "--option=--attn-timeout=5"]
# What processes may grow by between the tenth submission and the last: caches of the allocator, not submissions.
MAX_GROWTH_BYTES = 32 << 20


class Watched:
    """A command that grades, and how far it is."""

    def __init__(self, folder: Path, out: Path, *more: str) -> None:
        self.out = out
        self.memory: dict[int, int] = {}
        self._process = subprocess.Popen(
            [*COMMAND, str(folder), "--out", str(out), *OPTIONS, *more],
            cwd=folder.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def until(self, done: int) -> None:
        """Wait until so many reports have a verdict."""
        while (self._process.poll() is None) and len(graded_ids(self.out)) < done:
            time.sleep(0.5)

    def held_bytes(self) -> dict[int, int]:
        """What is resident of the processes that go on from one submission to the next, by their number.

        What is theirs alone would change from moment to moment: all that a fork server holds while it has no fork.
        """
        driver = psutil.Process(self._process.pid)
        lasting = [each for each in driver.children() if "cli.grade.fork_server" in command_line(each)]
        return {each.pid: each.memory_info().rss for each in (driver, *lasting)}

    def end(self, number: signal.Signals | None = None) -> tuple[int, str]:
        """Send a signal if any; return the exit code and what was said, once everything below has ended."""
        below = psutil.Process(self._process.pid).children(recursive=True) if self._process.poll() is None else []
        if number is not None:
            self._process.send_signal(number)
        said, complained = self._process.communicate(timeout=600)
        assert not wait_until_ended(below, seconds=60)
        return self._process.returncode, said + complained


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_class_killed_interrupted_and_resumed(tmp_path: Path) -> None:
    folder, out = tmp_path / "class", tmp_path / "graded"
    expected = write_class(folder, SIZE)

    first = Watched(folder, out)
    first.until(SIZE // 4)  # by then every fork server is up, also where the machine is busy
    early = first.held_bytes()
    first.until(SIZE // 2)
    late = first.held_bytes()
    first.end(signal.SIGKILL)
    assert sum(late[pid] - early[pid] for pid in early if pid in late) < MAX_GROWTH_BYTES, (early, late)

    second = Watched(folder, out, "--resume")
    second.until(3 * SIZE // 4)
    code, said = second.end(signal.SIGINT)
    assert code == 130, said
    assert "continue with --resume" in said

    graded = {name: file.stat().st_mtime_ns for name, file in reports_in(out, list(graded_ids(out))).items()}
    assert len(graded) >= SIZE // 2
    code, said = Watched(folder, out, "--resume").end()
    assert code == 0, said
    assert f"{SIZE} submissions: " in said
    assert f"{len(graded)} already graded" in said
    assert {name: file.stat().st_mtime_ns for name, file in reports_in(out, graded).items()} == graded
    check_gradebook(out, expected)


def reports_in(out: Path, names: object) -> dict[str, Path]:
    assert isinstance(names, (list, dict))
    return {name: out / "reports" / f"{name}.json" for name in names}


def check_gradebook(out: Path, expected: dict[str, Expected]) -> None:
    with (out / "gradebook.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    assert list(rows) == sorted(expected)
    wrong_rows = {name: row for name, row in rows.items() if not is_right(row, expected[name], out)}
    assert not wrong_rows
    page = (out / "gradebook.html").read_text(encoding="utf-8")
    assert all(f'href="pages/{name}.html"' in page for name in expected)


def is_right(row: dict[str, str], expected: Expected, out: Path) -> bool:
    report = json.loads((out / "reports" / f"{row['id']}.json").read_text(encoding="utf-8"))["attn_grader"]
    score = report["score"]
    agrees = (row["verdict"], float(row["earned"])) == (report["verdict"], round(score["earned"], 2))
    if not agrees or row["verdict"] != expected.verdict:
        return False
    if expected.failure:
        names = {check["failure"]["name"] for check in report["checks"] if check["failure"]}
        return float(row["earned"]) < 10 and expected.failure in names
    if expected.verdict == "passed":
        return float(row["earned"]) == float(row["possible"]) and row["diagnosis"] == ""
    named = {*row["diagnosis"].split(), *report["diagnosis"]["look_alikes"]}
    return expected.slugs <= named and float(row["earned"]) < float(row["possible"])
