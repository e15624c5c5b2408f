"""The hooks of a graded run, registered only when `--attn-student` is given.

In an xdist run the checks run in one worker and the controller writes the report; the hooks are called in both.
"""

from __future__ import annotations

import traceback
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from pytest_attn_grader._utils import fork_cache
from pytest_attn_grader.errors import EXIT_UNGRADABLE, SandboxUnavailableError, UngradableError, UsageError
from pytest_attn_grader.grading.assemble import RunData, collect_run_data
from pytest_attn_grader.grading.session import GradingSession
from pytest_attn_grader.plugin import collection, isolation, outcomes, progress_line, xdist
from pytest_attn_grader.plugin.check_timeouts import CheckTimeouts
from pytest_attn_grader.plugin.collection import CheckMark, ChecksModule
from pytest_attn_grader.plugin.failure_list import ShortSummary, shorten_failures
from pytest_attn_grader.plugin.other_plugins import OtherPlugins, reject_forked_tests
from pytest_attn_grader.plugin.progress_line import ProgressLine
from pytest_attn_grader.plugin.report_writer import ReportWriter, write_usage_error_report
from pytest_attn_grader.plugin.run_state import RunState, get_result
from pytest_attn_grader.plugin.sigterm import GracefulTermination
from pytest_attn_grader.plugin.stash import EVIDENCE_KEY, LIVE_KEY, RUN_NAME, SESSION_KEY
from pytest_attn_grader.plugin.warning_filters import default_warnings, show_warnings_of_checks
from pytest_attn_grader.reports import junit, terminal
from pytest_attn_grader.reports.escaping import for_log
from pytest_attn_grader.sandbox.grader_process import protect_grader
from pytest_attn_grader.settings.reading import read_settings
from pytest_attn_grader.settings.settings import Settings


def start_run(config: pytest.Config) -> None:
    """Read the settings, start the worker and register the hooks of the run.

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
        raise pytest.UsageError(for_log(str(error))) from error
    config.pluginmanager.register(run, RUN_NAME)
    config.pluginmanager.register(OtherPlugins(), "attn-grader-other-plugins")
    config.pluginmanager.register(ShortSummary(), "attn-grader-short-summary")
    config.pluginmanager.register(CheckTimeouts(run.record_fault, run.write_failure), "attn-grader-timeouts")


class GradedRun:
    """One run: from the settings to the written report."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self.config = config
        self.settings = settings
        self.state = RunState()
        self.report = ReportWriter(config, settings)
        self.modules: list[ChecksModule] = []
        self.session: GradingSession | None = None
        self.progress = ProgressLine(None)
        self._termination = GracefulTermination()
        if not config.option.collectonly:
            self._start()

    def _start(self) -> None:
        is_worker = collection.is_xdist_worker(self.config)
        if not is_worker:
            self.report.write_placeholders()
            self._termination.install()
        session = GradingSession(self.settings, target=self.config.stash.get(LIVE_KEY, None))
        isolation.reject_imported_student_modules(session.submission.target, self.config)
        if collection.is_xdist_controller(self.config):
            protect_grader()  # the report is written in this process
            return
        self.session = session
        self.config.stash[SESSION_KEY] = session
        if not is_worker:
            # An xdist worker may get none of the checks: there the process starts when it is first needed.
            session.start()
            self.progress = progress_line.start_progress(self.config)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        xdist.send_seed_to_worker(node.workerinput, self.settings)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        return xdist.make_scheduler(config, log)

    # --- before the checks --------------------------------------------------------------------------------------------

    def pytest_report_header(self) -> list[str]:
        if self.session is None:
            return terminal.report_header(self.settings, None)
        try:
            tier = self.session.submission.process.tier
        except SandboxUnavailableError:
            return terminal.report_header(self.settings, "none that will do")
        return terminal.report_header(self.settings, f"{tier.name} ({tier.why})")

    @pytest.hookimpl(tryfirst=True)
    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """Collect every check, whatever `--ignore` or an ini file says."""
        return False if collection.is_check_file(collection_path) else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_pycollect_makemodule(self, module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
        if not collection.is_check_file(module_path):
            return None
        self.modules.append(collection.make_module(module_path, parent))
        return self.modules[-1]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.state.not_collected.append(report.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        try:
            collection.validate_markers(items)
        except pytest.UsageError as error:
            self.state.fault = UsageError(str(error))
            if not collection.is_xdist_worker(self.config):
                raise
            # A worker that raises is lost; one without tests lives to report the error to the controller.
            items.clear()
            return
        self.state.collected_ids = collection.collected_check_ids(self.modules, items)
        show_warnings_of_checks(items)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Restore the order of the checks: plugins shuffle, and `--ff` puts earlier failures first."""
        session.items[:] = collection.order_checks(self.modules, session.items)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Load everything but the submission before the first check, so that the grader's faults cost no check."""
        if self.config.option.collectonly or collection.is_xdist_worker(self.config) or session.testsfailed:
            return None
        try:
            reject_forked_tests(self.config)
            if self.session is None:
                return None  # xdist distributes the tests
            if fork_cache.is_enabled():
                # One run of many: its process may have waited for it, all prepared.
                self.session.clock.restart()
            with default_warnings(), collection.capture_disabled(self.config):
                self._prepare(self.session)
        except UsageError as error:
            self.state.fault = error
            raise pytest.UsageError(for_log(str(error))) from error
        except UngradableError as error:
            self.state.fault = error
            return True
        return None

    def _prepare(self, session: GradingSession) -> None:
        if self.settings.model.startswith("mini") or Path(self.settings.model).exists():
            with self.progress.task("loading the model"):
                session.prepare()
        else:
            # A download shows its own progress.
            session.prepare()

    # --- the checks ---------------------------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        mark = CheckMark.of(item)
        if mark is None:
            return
        if self.session is not None and collection.is_xdist_worker(self.config):
            self._prepare_in_worker(self.session)
        missing = outcomes.unmet_dependency(mark, self.state.outcomes)
        if missing is not None:
            pytest.skip(f"needs {missing}")

    def _prepare_in_worker(self, session: GradingSession) -> None:
        """Prepare the session; a worker cannot end the run, so on failure it skips its checks and reports why."""
        if self.state.fault is None:
            try:
                session.prepare()
            except (UsageError, UngradableError) as error:
                self.state.fault = error
        if self.state.fault is not None:
            pytest.skip(for_log(str(self.state.fault)))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[Any]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        mark = CheckMark.of(item)
        if mark is None:
            return (yield)
        error = None if call.excinfo is None else call.excinfo.value
        with outcomes.plain_exception(call):
            report = yield
        # The result is that of the call, of a setup that failed before it, or of a teardown that failed after it.
        if report.when == "call" or error is not None:
            evidence = item.stash.get(EVIDENCE_KEY, None)
            own, hints = collection.is_check_file(item.path), self.settings.hints != "none"
            result = outcomes.classify(item, mark, call, evidence, own=own, hints=hints)
            if error is not None:
                outcomes.show(result, error, report)
            self.state.record_result(result, report)
            session = self.session
            if session is not None and hints and (self.state.has_diagnosable_failure or session.is_wrong_at_first):
                session.submission.prepare_diagnosis()
            junit.set_check_property(item, result)
        return report

    def pytest_report_teststatus(self, report: pytest.CollectReport | pytest.TestReport) -> tuple[str, str, str] | None:
        """Show a student's fault in a fixture as a failed check, not as an error of the test."""
        result = get_result(report)
        if result is not None and result["outcome"] == "failed" and report.when == "setup":
            return "failed", "F", "FAILED"
        return None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.state.handle_report(report)

    # --- after the checks ---------------------------------------------------------------------------------------------

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        self.state.merge_worker_output(node, error)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.config.option.collectonly:
            return
        with default_warnings():
            if self.session is not None:
                self._collect_run_data(self.session, session)
            elif self.state.fault is not None:
                self.state.data = RunData(fault=str(self.state.fault), fault_exit_code=EXIT_UNGRADABLE)
            if collection.is_xdist_worker(self.config):
                workeroutput: dict[str, Any] = self.config.workeroutput  # type: ignore[attr-defined]  # set by xdist
                self.state.write_worker_output(workeroutput)
            else:
                self.report.write(self.state, session, self.progress, signalled=self._termination.signalled)

    def _collect_run_data(self, grading: GradingSession, session: pytest.Session) -> None:
        # Diagnosis takes seconds and calls the submission again, so it is left out after an interrupt.
        diagnose = self.state.has_diagnosable_failure and session.exitstatus != pytest.ExitCode.INTERRUPTED
        with self.progress.task("looking for the cause" if diagnose else "measuring"):
            self.state.data = collect_run_data(grading, self.state.fault, failed=diagnose)
        # Before anything is written: no process of the submission may live to overwrite it.
        grading.submission.close()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self) -> Generator[None, None, None]:
        """Print the summary after pytest's list of failures, so that a terminal ends with it."""
        shorten_failures(self.config)
        yield
        self.report.write_summary()

    def pytest_unconfigure(self) -> None:
        self.progress.close()
        self._termination.uninstall()
        if self.session is not None:
            self.session.close()

    def record_fault(self, reason: str) -> None:
        """Note why nothing can be graded; pytest ends the run."""
        self.state.fault = UngradableError(reason)

    def write_failure(self, reason: str) -> None:
        """Write an ungradable report at once; pytest cannot end the run."""
        if not self.config.option.collectonly and not collection.is_xdist_worker(self.config):
            self.report.write_failure(reason)

    def handle_crash(self, error: Exception) -> int:
        """Report an exception that would end pytest with exit code 1, which means that the submission failed."""
        traceback.print_exception(error)
        self.write_failure(f"the run broke off: {type(error).__name__}: {error}")
        return EXIT_UNGRADABLE

    def handle_internal_error(self) -> int:
        """Report that pytest or another plugin failed before the session began; such a session has no end."""
        self.write_failure("pytest or one of its plugins failed before the first check")
        return EXIT_UNGRADABLE
