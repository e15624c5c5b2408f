"""Whole graded runs, each in a process and a folder of its own, and what they leave behind."""

from __future__ import annotations

import itertools
import json
import os
import re
import select
import subprocess
import sys
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pytest_attn_grader.sandbox.signals import kill_group
from tests.support.reports import validate

RUN_SECONDS = 240.0
REPORT = "report.json"
# Frames of the grader's own, pytest's crash text, and a code line of ours under a failing test.
OURS = re.compile(
    r'Traceback \(most recent|INTERNALERROR|File "[^"]*pytest_attn_grader|^E  |pytest_attn_grader\S*: in ', re.M
)


@dataclass(frozen=True)
class Run:
    """What is left of one run."""

    exit_code: int
    stdout: str
    stderr: str
    seconds: float
    folder: Path
    report_path: Path

    @property
    def text(self) -> str:
        return self.stdout + self.stderr

    @cached_property
    def document(self) -> dict[str, Any]:
        """The whole JSON document; it must exist and fit the shipped schema."""
        document = json.loads(self.report_path.read_text(encoding="utf-8"))
        validate(document)
        assert document["exitcode"] == document["attn_grader"]["exit_code"]
        return document

    @property
    def report(self) -> dict[str, Any]:
        return self.document["attn_grader"]

    @property
    def verdict(self) -> str:
        return self.report["verdict"]

    @cached_property
    def checks(self) -> dict[str, dict[str, Any]]:
        return {check["id"]: check for check in self.report["checks"]}

    def ids(self, outcome: str) -> set[str]:
        """The checks that came out like this."""
        return {check["id"] for check in self.report["checks"] if check["outcome"] == outcome}

    def assert_tidy(self) -> None:
        """Whatever a submission does: no traceback of ours, and three lines for every failing check."""
        assert not OURS.search(self.text), self.text
        for check in self.report["checks"]:
            if check["outcome"] == "failed":
                assert all(check[line].strip() for line in ("expected", "actual", "hint", "message")), check

    def assert_failed(self, *failing: str) -> None:
        """The student's fault: exit code 1, a verdict, and exactly these checks."""
        self.assert_tidy()
        assert (self.exit_code, self.verdict) == (1, "failed"), self.text
        assert self.report["exit_code"] == 1
        assert self.ids("failed") == set(failing), self.text
        assert f"{len(failing)} check" in self.report["reason"]

    def assert_ungradable(self, exit_code: int, *words: str) -> None:
        """Not the student's fault: no verdict, no points, an exit code of its own, and the reason in both places."""
        self.assert_tidy()
        assert (self.exit_code, self.verdict, self.report["exit_code"]) == (exit_code, "ungradable", exit_code), (
            self.text
        )
        for word in words:
            assert word in self.report["reason"], self.report["reason"]
            assert word in flat(self.text), self.text


def flat(text: str) -> str:
    """The text without the line breaks of a narrow terminal."""
    return " ".join(text.split())


@dataclass
class Warm:
    """The forking process of `warm.py`, started when the first run needs it.

    Args:
        base: the folder under which every run gets its own.
    """

    base: Path
    _server: subprocess.Popen[str] | None = None
    _numbers: Any = field(default_factory=itertools.count)

    def folder(self, files: dict[str, str] | None = None) -> Path:
        """A new folder with these files in it."""
        folder = self.base / f"run{next(self._numbers)}"
        folder.mkdir()
        for name, source in (files or {}).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(source, encoding="utf-8")
        return folder

    def pytest(
        self,
        *args: str,
        folder: Path,
        report: str | Path = REPORT,
        environment: dict[str, str] | None = None,
        typed: str = "",
    ) -> Run:
        """`python -m pytest ARGS`, to its end."""
        started = Started(self, args, folder, folder / report, environment or {}, typed)
        return started.wait()

    def grade(
        self, source: str | dict[str, str], *args: str, target: str = "student.py", ini: str = "", **more: Any
    ) -> Run:
        """Grade a submission that is written on the spot, in the embedded model, with a report."""
        files = {"student.py": source} if isinstance(source, str) else dict(source)
        if ini:
            files["pytest.ini"] = f"[pytest]\n{ini}"
            # Named, because an ini file among the student's own files is not heeded.
            args = ("-c", "pytest.ini", *args)
        return self.pytest(*graded(target), *args, folder=self.folder(files), **more)

    @cached_property
    def number_of_checks(self) -> int:
        """How many checks a whole run has."""
        run = self.pytest("--attn-student=student.py", "--co", "-q", folder=self.folder({"student.py": ""}))
        found = re.search(r"^(\d+) tests collected", run.stdout, re.MULTILINE)
        assert found is not None, run.text
        return int(found[1])

    @property
    def server(self) -> subprocess.Popen[str]:
        if self._server is None:
            script = Path(__file__).with_name("warm.py")
            self._server = subprocess.Popen(
                [sys.executable, str(script)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=self.base,
                text=True,
                env=clean_environment(),
            )
        return self._server

    def answer(self, seconds: float) -> int:
        """The next line of the server."""
        assert self.server.stdout is not None
        ready, _, _ = select.select([self.server.stdout], [], [], seconds)
        if not ready:
            raise TimeoutError(f"no answer within {seconds:g} s")
        return int(self.server.stdout.readline())

    def close(self) -> None:
        if self._server is not None:
            self._server.communicate()


def graded(target: str, report: str | Path = REPORT) -> tuple[str, ...]:
    """The arguments that every graded run of these tests shares."""
    return (f"--attn-student={target}", "--attn-model=mini", f"--attn-report={report}", "-p", "no:cacheprovider")


def clean_environment() -> dict[str, str]:
    """This process's environment without what another pytest, a CI service, or the person who runs it has put there."""
    # Without compiled modules every run would compile the plugin.
    foreign = ("ATTN_", "PYTEST_", "COLUMNS", "CI", "BUILD_NUMBER", "GITHUB_", "GITLAB_", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    # One thread: the model is small, and threads that wait for each other's cores are what makes a busy machine slow.
    return {**kept, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


class Started:
    """A run that is going on."""

    def __init__(
        self,
        warm: Warm,
        args: tuple[str, ...],
        folder: Path,
        report_path: Path,
        environment: dict[str, str],
        typed: str,
    ) -> None:
        self._warm, self.folder, self.report_path = warm, folder, report_path
        self._streams = [warm.base / f"{folder.name}.{name}" for name in ("in", "out", "err")]
        self._streams[0].write_text(typed)
        job = {
            "args": args,
            "folder": str(folder),
            "environment": {**clean_environment(), **environment},
            "streams": [str(stream) for stream in self._streams],
        }
        self._began = time.monotonic()
        assert warm.server.stdin is not None
        warm.server.stdin.write(json.dumps(job) + "\n")
        warm.server.stdin.flush()
        self.pid = warm.answer(RUN_SECONDS)

    def wait(self, seconds: float = RUN_SECONDS) -> Run:
        try:
            exit_code = self._warm.answer(seconds)
        except TimeoutError:
            kill_group(self.pid, parent=self._warm.server.pid)
            self._warm.answer(seconds)
            raise AssertionError(f"the run hung: {self._read(1)}{self._read(2)}") from None
        spent = time.monotonic() - self._began
        return Run(exit_code, self._read(1), self._read(2), spent, self.folder, self.report_path)

    def _read(self, number: int) -> str:
        return self._streams[number].read_text(encoding="utf-8", errors="replace")
