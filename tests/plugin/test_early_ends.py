"""A run that is killed or interrupted leaves a report that says so, and no process behind."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.support.processes import wait_until_ended
from tests.support.runs import Run, Started, Warm, clean_environment, graded
from tests.support.students import REFERENCE

SLEEPER = """
import os, pathlib, time

def attention(query, key, value, mask=None):
    pathlib.Path("called").write_text(str(os.getpid()))
    time.sleep(1000)
"""


def started(warm: Warm) -> tuple[Started, int]:
    """A run whose submission is in the middle of a call, and the worker's process id."""
    folder = warm.folder({"student.py": SLEEPER})
    run = Started(
        warm,
        (*graded("student.py"), "--attn-timeout=100", "--attn-sandbox=process"),
        folder,
        folder / "report.json",
        {},
        "",
    )
    deadline = time.monotonic() + 120
    called = folder / "called"
    while not (called.exists() and called.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return run, int(called.read_text())


def assert_gone(pid: int, seconds: float = 20) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        assert not wait_until_ended([psutil.Process(pid)], seconds)


def claimed(run: Started) -> Run:
    """The report that lies there while the run is going on."""
    return Run(0, "", "", 0, run.folder, run.report_path)


def test_a_run_that_is_killed(warm: Warm) -> None:
    run, worker = started(warm)
    before = claimed(run).report
    assert (before["verdict"], before["reason"]) == ("ungradable", "the run did not come to its end")
    os.kill(run.pid, signal.SIGKILL)
    ended = run.wait()
    assert ended.exit_code == -signal.SIGKILL
    assert ended.verdict == "ungradable"
    assert ended.report == before
    assert_gone(worker)
    assert only(ended.folder, "report.json")


@pytest.mark.slow
def test_a_run_that_is_interrupted(warm: Warm) -> None:
    run, worker = started(warm)
    os.kill(run.pid, signal.SIGINT)
    ended = run.wait()
    ended.assert_ungradable(2, "the run was interrupted")
    assert ended.ids("passed") == {"contract.import", "contract.target"}
    assert_gone(worker)


def test_a_run_that_is_terminated(warm: Warm) -> None:
    """As batch systems and CI do it when the time is up."""
    run, worker = started(warm)
    os.kill(run.pid, signal.SIGTERM)
    ended = run.wait()
    ended.assert_ungradable(2, "the run was ended by SIGTERM")
    assert ended.ids("passed") == {"contract.import", "contract.target"}
    assert_gone(worker)
    assert only(ended.folder, "report.json")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no limits on file sizes there")
def test_a_disk_that_is_full_in_the_end(warm: Warm) -> None:
    """The first report fits, the last one does not: said on standard error, and by an exit code of its own."""
    folder = warm.folder({"student.py": REFERENCE})
    command = f"ulimit -f 24; exec {shlex.quote(sys.executable)} -P -m pytest {' '.join(graded('student.py'))}"
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=clean_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 11, done.stdout + done.stderr
    assert "report.json could not be written: File too large" in done.stderr
    assert only(folder, "report.json")
    left = Run(0, "", "", 0, folder, folder / "report.json").report
    assert (left["verdict"], left["reason"]) == ("ungradable", "the run did not come to its end")


def only(folder: Path, report: str) -> bool:
    """No half-written temporary beside the report."""
    return [path.name for path in folder.glob(f"*{report}*")] == [report]
