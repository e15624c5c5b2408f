"""Write the report of a graded run: a placeholder at its start, then the report and every view of it at its end."""

from __future__ import annotations

import sys

import pytest

from pytest_attn_grader._utils.imports import fast_imports
from pytest_attn_grader.errors import EXIT_REPORT_LOST, EXIT_UNGRADABLE, UsageError
from pytest_attn_grader.grading.assemble import RunData, assemble
from pytest_attn_grader.plugin import collection, xdist
from pytest_attn_grader.plugin.progress_line import ProgressLine
from pytest_attn_grader.plugin.run_state import RunState
from pytest_attn_grader.reports import json_report, junit, learner_progress, terminal
from pytest_attn_grader.reports.escaping import for_path
from pytest_attn_grader.reports.formats import files
from pytest_attn_grader.results.report import GradeReport
from pytest_attn_grader.settings.options import read_option
from pytest_attn_grader.settings.settings import Settings


def write_usage_error_report(config: pytest.Config, error: UsageError) -> None:
    """Write a report although the settings cannot be used, with defaults for what could not be read."""
    path, _ = read_option(config, "report")
    student, _ = read_option(config, "student")
    if collection.is_xdist_worker(config):
        return
    here = config.invocation_params.dir
    settings = Settings(student=student or "", report=None if path is None else here / path)
    report = assemble(settings, RunData(), (), reason=str(error), exit_code=int(pytest.ExitCode.USAGE_ERROR))
    json_report.try_write(report, settings.report)
    files.try_write(report, read_option(config, "format")[0], here)


class ReportWriter:
    """Writes what one run leaves behind: the report, every view of it, and the exit code."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self.config = config
        self.settings = settings
        self._notes: list[str] = []
        self._not_shown: GradeReport | None = None

    def write_placeholders(self) -> None:
        """Write an unfinished report in every place, so that an older file is not taken for the result of this run.

        Raises:
            UsageError: nothing can be written there.
        """
        unfinished = assemble(self.settings, RunData(), (), reason="the run did not come to its end")
        json_report.write_placeholder(unfinished, self.settings)
        files.write_placeholders(unfinished, self.settings.formats)
        json_report.enable_json_report(self.config)

    def write(self, state: RunState, session: pytest.Session, progress: ProgressLine, *, signalled: bool) -> None:
        """Build the report, write and show it, and set pytest's exit status."""
        report = self._build_report(state, session, signalled=signalled)
        report = self.config.hook.pytest_attn_modify_report(config=self.config, report=report) or report
        self._not_shown = report
        written = json_report.write(report, self.config, self.settings)
        with progress.task("drawing"):
            viewed = write_views(report, self.config, self.settings)
        junit.add_properties(report, self.config)
        viewed = self._record_progress(report, whole=not state.not_run) and viewed
        if not (written and viewed):
            session.exitstatus = EXIT_REPORT_LOST
        if written and self.settings.report is not None:
            self.config.hook.pytest_attn_report_written(
                config=self.config, report=report, path=str(self.settings.report)
            )
        if session.exitstatus in {EXIT_UNGRADABLE, EXIT_REPORT_LOST}:
            # pytest prints no summary after exit codes that are not its own.
            self.write_summary()

    def write_failure(self, reason: str) -> None:
        """Write an ungradable report after a fault of the grader or of another plugin."""
        report = assemble(self.settings, RunData(), (), reason=reason, exit_code=EXIT_UNGRADABLE)
        json_report.try_write(report, self.settings.report)
        files.write(report, self.settings.formats)

    def _build_report(self, state: RunState, session: pytest.Session, *, signalled: bool) -> GradeReport:
        if session.exitstatus == pytest.ExitCode.INTERRUPTED and xdist.is_stopped_by_maxfail(session):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        exit_code = int(session.exitstatus)
        reason = state.ungradable_reason(exit_code, signalled=signalled)
        internal_error = exit_code == pytest.ExitCode.INTERNAL_ERROR
        ended_by_itself = exit_code in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}
        if reason is not None and (ended_by_itself or internal_error or state.data.fault):
            session.exitstatus = state.data.fault_exit_code or EXIT_UNGRADABLE
        report = assemble(
            self.settings,
            state.data,
            tuple(state.results.values()),
            reason=reason,
            exit_code=int(session.exitstatus),
            not_run=state.not_run,
            other_failures=state.other_failures,
        )
        is_partial = reason is None and report.verdict == "ungradable"
        if is_partial and ended_by_itself and not collection.has_selection_options(self.config):
            # A script that reads the exit code alone must not take some of the checks for all of them.
            session.exitstatus = EXIT_UNGRADABLE
            report = report.model_copy(update={"exit_code": EXIT_UNGRADABLE})
        return report

    def _record_progress(self, report: GradeReport, *, whole: bool) -> bool:
        """Add this run to the learner's progress file, if there is one; False, and a line on stderr, on failure."""
        if self.settings.progress is None:
            return True
        try:
            self._notes.append(learner_progress.record(report, self.settings.progress, whole=whole))
        except learner_progress.ProgressError as error:
            sys.stderr.write(f"attn-grader: {error}\n")
            return False
        return True

    def write_summary(self) -> None:
        """Print the summary on the terminal, once, when the report is finished."""
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if self._not_shown is not None and reporter is not None:
            terminal.write_summary(self._not_shown, reporter, self.settings)
            for note in self._notes:
                reporter.write_line(note)
            self._not_shown = None


def write_views(report: GradeReport, config: pytest.Config, settings: Settings) -> bool:
    """Write page, plots and other formats; False, and a line on stderr, when a file cannot be written."""
    try:
        if settings.html is not None:
            from pytest_attn_grader.reports.html_page import write_page

            write_page(report, settings.html)
        if settings.plots is not None and not config.hook.pytest_attn_write_plots(
            config=config, report=report, folder=settings.plots
        ):
            with fast_imports():
                from pytest_attn_grader.reports.plots import write_plots

            write_plots(report, settings.plots)
    except OSError as error:
        sys.stderr.write(f"attn-grader: {for_path(error.filename)} could not be written: {error.strerror}\n")
        return False
    return files.write(report, settings.formats)
