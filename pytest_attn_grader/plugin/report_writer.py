"""The report of a graded run: claimed at the beginning, put together, written and shown at the end."""

from __future__ import annotations

import sys

import pytest

from pytest_attn_grader.errors import EXIT_REPORT_LOST, EXIT_UNGRADABLE, UsageError
from pytest_attn_grader.grading.assemble import RunData, assemble
from pytest_attn_grader.plugin import collection, views
from pytest_attn_grader.plugin.progress_line import ProgressLine
from pytest_attn_grader.plugin.run_state import RunState
from pytest_attn_grader.reports import json_report, junit, terminal
from pytest_attn_grader.reports import learner_progress as learning
from pytest_attn_grader.reports.formats import files
from pytest_attn_grader.results.report import GradeReport
from pytest_attn_grader.settings import Settings, read_option


def write_usage_error_report(config: pytest.Config, error: UsageError) -> None:
    """Settings that cannot be used leave a report all the same, with the defaults for what could not be read."""
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
    """What one run leaves behind: the report, every view of it, and the exit code."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self.config = config
        self.settings = settings
        self._notes: list[str] = []
        self._unsaid: GradeReport | None = None

    def write_placeholders(self) -> None:
        """Write an unfinished report in every place, so that an older file is not taken for the result of this run.

        Raises:
            UsageError: nothing can be written there.
        """
        unfinished = assemble(self.settings, RunData(), (), reason="the run did not come to its end")
        json_report.write_placeholder(unfinished, self.settings)
        files.write_placeholders(unfinished, self.settings.formats)
        json_report.enable_json_report(self.config)

    def finish(self, found: RunState, session: pytest.Session, progress: ProgressLine, *, signalled: bool) -> None:
        """Put it together, write and show it, and let pytest's exit status say what became of it."""
        report = self._build_report(found, session, signalled=signalled)
        report = self.config.hook.pytest_attn_modify_report(config=self.config, report=report) or report
        self._unsaid = report
        written = json_report.write(report, self.config, self.settings)
        with progress.during("drawing"):
            shown = views.write_views(report, self.config, self.settings)
        junit.add_properties(report, self.config)
        shown = self._keep_progress(report, whole=not found.not_selected) and shown
        if not (written and shown):
            session.exitstatus = EXIT_REPORT_LOST
        if written and self.settings.report is not None:
            self.config.hook.pytest_attn_report_written(
                config=self.config, report=report, path=str(self.settings.report)
            )
        if session.exitstatus in {EXIT_UNGRADABLE, EXIT_REPORT_LOST}:
            # pytest prints no summary after exit codes that are not its own.
            self.write_summary()

    def _build_report(self, found: RunState, session: pytest.Session, *, signalled: bool) -> GradeReport:
        reason = found.ungradable_reason(int(session.exitstatus), signalled=signalled)
        ended_by_itself = session.exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}
        if reason is not None and (ended_by_itself or found.facts.fault):
            session.exitstatus = found.facts.fault_exit_code or EXIT_UNGRADABLE
        report = assemble(
            self.settings,
            found.facts,
            tuple(found.results.values()),
            reason=reason,
            exit_code=int(session.exitstatus),
            not_selected=found.not_selected,
            other_failures=found.other_failures,
        )
        ok = session.exitstatus == pytest.ExitCode.OK
        if report.verdict == "ungradable" and ok and not collection.has_selection_options(self.config):
            # Whoever reads the exit code alone must not take half of the checks for all of them.
            session.exitstatus = EXIT_UNGRADABLE
            report = report.model_copy(update={"exit_code": EXIT_UNGRADABLE})
        return report

    def _keep_progress(self, report: GradeReport, *, whole: bool) -> bool:
        """Add this run to the learner's progress, when that is kept; False, and a line on stderr, when it cannot be."""
        if self.settings.progress is None:
            return True
        try:
            self._notes.append(learning.record(report, self.settings.progress, whole=whole))
        except learning.ProgressError as error:
            sys.stderr.write(f"attn-grader: {error}\n")
            return False
        return True

    def write_summary(self) -> None:
        """Say on the terminal what the report says, once; nothing before it is finished."""
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if self._unsaid is not None and reporter is not None:
            terminal.write_summary(self._unsaid, reporter, self.settings)
            for note in self._notes:
                reporter.write_line(note)
            self._unsaid = None
