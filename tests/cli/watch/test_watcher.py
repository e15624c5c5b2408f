"""`attn-grader watch` grades at every save, drops a run that a save overtakes, and leaves nothing behind."""

from __future__ import annotations

import io
import json
import queue
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from rich.console import Console

from pytest_attn_grader.cli.watch.display import ResultDisplay, describe_result
from pytest_attn_grader.cli.watch.watcher import Watcher, WatchSettings
from pytest_attn_grader.results.report import GradeReport
from tests.support.processes import wait_until_ended
from tests.support.students import REFERENCE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the fork server needs Linux"),
]
SECONDS = 120.0
NO_SCALE = REFERENCE.replace(" / math.sqrt(query.size(-1))", "")
SLOW = "import time\ntime.sleep(60)\n" + REFERENCE


class Watched:
    """A watcher in a thread of its own, and the reports that it shows."""

    def __init__(self, path: Path, folder: Path, html: Path | None = None, budget_seconds: float = 90.0) -> None:
        self.path = path
        self.reports: queue.Queue[GradeReport] = queue.Queue()
        settings = WatchSettings(path, html=html, budget_seconds=budget_seconds)
        self.watcher = Watcher(settings, folder, self.reports.put)
        self.thread = threading.Thread(target=self.watcher.run)

    def next(self) -> GradeReport:
        return self.reports.get(timeout=SECONDS)

    def save(self, source: str) -> None:
        self.path.write_text(source)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with watching(tmp_path, html=tmp_path / "page.html") as made:
        yield made


@contextmanager
def watching(tmp_path: Path, **settings: Any) -> Iterator[Watched]:
    """Watch a right submission in a new folder."""
    folder = tmp_path / "run"
    folder.mkdir()
    path = tmp_path / "student" / "mine.py"
    path.parent.mkdir()
    path.write_text(REFERENCE)
    made = Watched(path, folder, **settings)
    made.thread.start()
    try:
        yield made
    finally:
        made.watcher.stop_event.set()
        made.thread.join(SECONDS)
        assert not made.thread.is_alive()


def test_every_save_is_graded_and_nothing_is_left(watched: Watched, tmp_path: Path) -> None:
    before = set(psutil.Process().children(recursive=True))
    assert watched.next().verdict == "passed"
    watched.save(NO_SCALE)
    wrong = watched.next()
    assert wrong.verdict == "failed"
    assert wrong.diagnosis is not None
    assert wrong.diagnosis.slugs == ("no-scale",)
    assert 'http-equiv="refresh"' in (tmp_path / "page.html").read_text()
    watched.save("this is not Python")
    assert watched.next().verdict == "failed"
    watched.save(REFERENCE)
    assert watched.next().verdict == "passed"
    watched.watcher.stop_event.set()
    watched.thread.join(SECONDS)
    made = set(psutil.Process().children(recursive=True)) - before
    assert not wait_until_ended(made)


def test_a_run_that_is_overtaken_is_dropped(watched: Watched) -> None:
    assert watched.next().verdict == "passed"
    watched.save(SLOW)
    watched.watcher.stop_event.wait(1.0)  # long enough for the run to begin; it takes a minute
    watched.save(NO_SCALE)
    report = watched.next()
    assert report.diagnosis is not None
    assert report.diagnosis.slugs == ("no-scale",)
    assert watched.reports.empty()


def test_what_changed_is_said(watched: Watched) -> None:
    out = io.StringIO()
    with ResultDisplay(Console(file=out, width=200)) as display:
        display.show(watched.next())
        watched.save(NO_SCALE)
        display.show(watched.next())
        watched.save(NO_SCALE + "\n")
        report = watched.next()
        display.show(report)
    lines = out.getvalue().splitlines()
    assert lines[0].startswith("PASSED")
    assert f"was: right, 100 of 100; now: {describe_result(report)}" in lines
    assert lines[-1] == "no change"


def test_the_log_is_that_of_the_last_run_that_began(watched: Watched, tmp_path: Path) -> None:
    assert watched.next().verdict == "passed"
    assert "PASSED" in (tmp_path / "run" / "logs" / "mine.py.txt").read_text()
    watched.save(NO_SCALE)
    assert watched.next().verdict == "failed"
    assert "FAILED" in (tmp_path / "run" / "logs" / "mine.py.txt").read_text()


def test_options_that_pytest_refuses_are_said_each_time(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    path = tmp_path / "mine.py"
    path.write_text(REFERENCE)
    reports: queue.Queue[GradeReport] = queue.Queue()
    settings = WatchSettings(path, options=("--no-such-option",))
    watcher = Watcher(settings, tmp_path / "run", reports.put)
    thread = threading.Thread(target=watcher.run)
    thread.start()
    for number in range(3):
        assert reports.get(timeout=SECONDS).verdict == "ungradable"
        assert "--no-such-option" in (tmp_path / "run" / "logs" / "mine.py.txt").read_text()
        path.write_text(f"{REFERENCE}\n# {number}\n")
    watcher.stop_event.set()
    thread.join(SECONDS)
    assert not thread.is_alive()


def test_the_time_between_two_saves_is_no_part_of_a_run(tmp_path: Path) -> None:
    budget = 20.0
    with watching(tmp_path, budget_seconds=budget) as watched:
        assert watched.next().verdict == "passed"
        time.sleep(budget + 1.0)
        watched.save(NO_SCALE)
        wrong = watched.next()
    assert wrong.diagnosis is not None
    assert wrong.diagnosis.slugs == ("no-scale",)
    assert sum(phase.seconds for phase in wrong.timing) < budget
    assert json.loads((tmp_path / "run" / "reports" / "mine.py.json").read_text())["duration"] < budget
    assert wrong.speed is not None
