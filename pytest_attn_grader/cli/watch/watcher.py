"""Grade a file at every save: a fork server keeps the model, and a run that the next save overtakes is dropped."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from watchfiles import watch

from pytest_attn_grader.cli.grade.grade import LOGS, REPORTS, ClassSettings, make_job
from pytest_attn_grader.cli.grade.runners import Job, make_runner
from pytest_attn_grader.cli.grade.submissions import ClassSubmission
from pytest_attn_grader.errors import UngradableError, UsageError
from pytest_attn_grader.reports.json_report import load_report
from pytest_attn_grader.results.report import GradeReport

# Editors save in several steps: a file is graded when it has rested for this long.
QUIET_MS = 10


@dataclass(frozen=True)
class WatchSettings:
    """The watched file and the settings of its grading; `options` are further options of the command line."""

    path: Path
    name: str | None = None
    model: str = "mini"
    device: str = "auto"
    budget_seconds: float = 90.0
    html: Path | None = None
    options: tuple[str, ...] = ()


class Watcher:
    """Grades one file again and again. The file's folder is watched, because editors replace files.

    Args:
        folder: an empty folder for the report and the log of the current run.
        show: called with the report of every run that no later save has overtaken.
    """

    def __init__(self, settings: WatchSettings, folder: Path, show: Callable[[GradeReport], None]) -> None:
        self._settings = settings
        self._folder = folder
        self._show = show
        self._runner = make_runner(settings.model, settings.device)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="attn-grader-watch")
        self._running: Future[None] | None = None
        self._saves = 0
        # One seed for all runs: what the references say on its inputs is worked out once, before the first save.
        self._seed = secrets.randbelow(1 << 31)
        self.stop_event = threading.Event()
        for name in (REPORTS, LOGS):
            (folder / name).mkdir()

    def run(self) -> None:
        """Grade once, then at every save, until `stop_event` is set or Ctrl-C is pressed."""
        try:
            self.grade()
            for _ in self._wait_for_saves():
                self.grade()
        finally:
            self._runner.stop()
            self._pool.shutdown(cancel_futures=True)
            self._runner.close()

    def grade(self) -> None:
        """Start a run, and drop the one that is going on."""
        self._saves += 1
        if self._running is not None and not self._running.done():
            self._runner.cancel()
        self._running = self._pool.submit(self._grade_once, self._saves)

    def _wait_for_saves(self) -> Iterator[None]:
        path = self._settings.path.resolve()
        changes = watch(
            path.parent,
            watch_filter=lambda _, changed: Path(changed) == path,
            debounce=QUIET_MS,
            step=QUIET_MS,
            recursive=False,
            stop_event=self.stop_event,
        )
        for _ in changes:
            if path.is_file():
                yield

    def _grade_once(self, number: int) -> None:
        if number != self._saves:
            return
        job = self._make_job()
        Path(job.report).unlink(missing_ok=True)
        try:
            self._runner.run(job)
        except (TimeoutError, RuntimeError, OSError) as error:
            if number == self._saves and not self.stop_event.is_set():
                self._show(_make_ungradable(f"the run could not be finished: {error}"))
            return
        if number != self._saves:
            return
        try:
            report = load_report(Path(job.report))
        except (UngradableError, UsageError):
            report = _make_ungradable(f"the run wrote no report; its output is in {job.log}")
        if self._settings.html is not None:
            _write_page(report, self._settings.html)
        self._show(report)

    def _make_job(self) -> Job:
        watched, path = self._settings, self._settings.path.resolve()
        settings = ClassSettings(
            model=watched.model,
            device=watched.device,
            seed=self._seed,
            budget_seconds=watched.budget_seconds,
            folder=self._folder,
            options=watched.options,
            pages=False,
        )
        job = make_job(ClassSubmission(path.name, path, name=watched.name), settings, self._folder)
        return replace(job, warmup_args=settings.common_args, is_repeated=True)


def _make_ungradable(reason: str) -> GradeReport:
    from pytest_attn_grader.grading.assemble import RunData, assemble
    from pytest_attn_grader.settings.settings import Settings

    return assemble(Settings(student=""), RunData(), (), reason=reason)


def _write_page(report: GradeReport, path: Path) -> None:
    """Write a page that loads itself again every second."""
    from pytest_attn_grader.reports.html_page import render_page

    page = render_page(report).replace("<head>", '<head>\n<meta http-equiv="refresh" content="1">', 1)
    path.write_text(page, encoding="utf-8")
