"""The second half of the plugin: the hooks of a graded run, registered only when `--attn-student` is given.

In an xdist run the checks live in one worker and the report in the controller; the hooks are called in both.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from pytest_attn_grader.errors import UngradableError, UsageError
from pytest_attn_grader.grading.assemble import collect_run_data
from pytest_attn_grader.grading.session import GradingSession
from pytest_attn_grader.plugin import collection, isolation, outcomes, progress_line, xdist
from pytest_attn_grader.plugin.collection import CheckMark, ChecksModule
from pytest_attn_grader.plugin.progress_line import ProgressLine
from pytest_attn_grader.plugin.report_writer import ReportWriter, write_usage_error_report
from pytest_attn_grader.plugin.run_state import RunState
from pytest_attn_grader.plugin.sigterm import GracefulTermination
from pytest_attn_grader.plugin.stash import EVIDENCE_KEY, LIVE_KEY, SESSION_KEY
from pytest_attn_grader.reports import junit, terminal
from pytest_attn_grader.sandbox.grader_process import protect_grader
from pytest_attn_grader.settings import Settings, read_settings


def begin(config: pytest.Config) -> None:
    """Read the settings, start the worker and take part in the run.

    Raises:
        pytest.UsageError: a setting cannot be used; a report that says so has been written when a path was given.
    """
    try:
        settings = read_settings(config)
        if settings is None:
            return
        collection.add_check_files(config)
        run = GradedRun(config, xdist.settings_with_controller_seed(config, settings))
    except UsageError as error:
        write_usage_error_report(config, error)
        raise pytest.UsageError(str(error)) from error
    config.pluginmanager.register(run, "attn-grader-run")


class GradedRun:
    """One run: from the settings to the written report."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self.config = config
        self.settings = settings
        self.found = RunState()
        self.report = ReportWriter(config, settings)
        self.modules: list[ChecksModule] = []
        self._ending = GracefulTermination()
        self.session: GradingSession | None = None
        self.progress = ProgressLine(None)
        if not config.option.collectonly:
            self._start()

    def _start(self) -> None:
        if not collection.is_xdist_worker(self.config):
            self.report.write_placeholders()
            self._ending.begin()
        session = GradingSession(self.settings, self.config.stash.get(LIVE_KEY, None))
        isolation.reject_imported_student_modules(session.target, self.config)
        if collection.is_xdist_controller(self.config):
            protect_grader()  # the report is written here
        else:
            self.session = session
            self.config.stash[SESSION_KEY] = session
        if self.session is not None and not collection.is_xdist_worker(self.config):
            # An xdist worker may hold none of the checks: there the process starts when it is first needed.
            session.start()
            self.progress = progress_line.begin(self.config)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        xdist.send_seed_to_worker(node.workerinput, self.settings)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        return xdist.make_scheduler(config, log)

    # --- before the checks --------------------------------------------------------------------------------------------

    def pytest_report_header(self) -> list[str]:
        tier = None if self.session is None else self.session.student_process.tier_in_words
        return terminal.report_header(self.settings, tier)

    @pytest.hookimpl(tryfirst=True)
    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """Neither `--ignore` nor an ini file hides a check."""
        return False if collection.is_check_file(collection_path) else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_pycollect_makemodule(self, module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
        if not collection.is_check_file(module_path):
            return None
        self.modules.append(collection.make_module(module_path, parent))
        return self.modules[-1]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.found.not_collected.append(report.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        try:
            collection.validate_markers(items)
        except pytest.UsageError as error:
            self.found.fault = UsageError(str(error))
            if not collection.is_xdist_worker(self.config):
                raise
            # A worker that raises is lost; one that has nothing to do lives to tell the controller.
            items.clear()
            return
        self.found.offered = collection.collected_check_ids(self.modules, items)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Load what is not the student's before the first check, so that our own faults cost no check."""
        if self.session is None or collection.is_xdist_worker(self.config) or session.testsfailed:
            return None
        try:
            # A download shows a progress of its own, which ours would write over.
            local = self.settings.model.startswith("mini") or Path(self.settings.model).exists()
            with collection.capture_disabled(self.config), self.progress.during("loading the model", unless=not local):
                self.session.prepare()
        except UsageError as error:
            self.found.fault = error
            raise pytest.UsageError(str(error)) from error
        except UngradableError as error:
            self.found.fault = error
            return True
        return None

    # --- the checks ---------------------------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        mark = CheckMark.of(item)
        if mark is None:
            return
        if self.session is not None and collection.is_xdist_worker(self.config):
            self._prepare_in_worker()
        missing = outcomes.unmet_dependency(mark, self.found.outcomes)
        if missing is not None:
            pytest.skip(f"needs {missing}")

    def _prepare_in_worker(self) -> None:
        """A worker cannot end the run; it skips its checks, and the controller learns why from its farewell."""
        if self.found.fault is None and self.session is not None:
            try:
                self.session.prepare()
            except (UsageError, UngradableError) as error:
                self.found.fault = error
        if self.found.fault is not None:
            pytest.skip(str(self.found.fault))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[Any]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        mark = CheckMark.of(item)
        if mark is not None:
            outcomes.suppress_traceback(item, call)
        report = yield
        # A check is judged by its call; by its setup when it got no further, and by its teardown when that broke.
        if mark is not None and (report.when == "call" or call.excinfo is not None):
            result = outcomes.judge(
                item,
                mark,
                call,
                report,
                evidence=item.stash.get(EVIDENCE_KEY, None),
                something_failed=self.found.something_failed,
                ours=collection.is_check_file(item.path),
                hints=self.settings.hints != "none",
            )
            self.found.note(result, report)
            junit.set_check_property(item, result)
        return report

    def pytest_report_teststatus(self, report: pytest.CollectReport | pytest.TestReport) -> tuple[str, str, str] | None:
        """A student's fault in a fixture is a failed check, not an error of the test."""
        check = getattr(report, "attn_check", None)
        if check is not None and check["outcome"] == "failed" and report.when == "setup":
            return "failed", "F", "FAILED"
        return None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.found.receive(report)

    # --- after the checks ---------------------------------------------------------------------------------------------

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """The worker that had the checks says what it found, each of them what there was to run."""
        self.found.merge_worker_output(node, error)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.config.option.collectonly:
            return
        if self.session is not None:
            # A diagnosis takes seconds, and asks the submission again: not when somebody wants us to end.
            diagnosable = self.found.wrong and session.exitstatus != pytest.ExitCode.INTERRUPTED
            with self.progress.during("looking for the cause" if diagnosable else "measuring"):
                self.found.facts = collect_run_data(self.session, self.found.fault, failed=diagnosable)
            # Before anything is written: what the submission has started must not be there to write it again.
            self.session.student_process.close()
        if collection.is_xdist_worker(self.config):
            self.found.write_worker_output(self.config.__dict__["workeroutput"])
        else:
            self.report.finish(self.found, session, self.progress, signalled=self._ending.signalled)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self) -> Generator[None, None, None]:
        """After pytest's list of failures: what is read first is what stands last."""
        yield
        self.report.write_summary()

    def pytest_unconfigure(self) -> None:
        self.progress.close()
        self._ending.end()
        if self.session is not None:
            self.session.close()
