"""The second half of the plugin: the hooks of a graded run, registered only when `--attn-student` is given.

In an xdist run the checks live in one worker and the report in the controller: check results travel with pytest's own
test reports, everything else (`RunFacts`) with the worker's farewell.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from pytest_attn_grader import collection, distributed, isolation, judging, progress
from pytest_attn_grader.collection import CheckMark, ChecksModule
from pytest_attn_grader.ending import EndGently
from pytest_attn_grader.errors import EXIT_REPORT_LOST, EXIT_UNGRADABLE, AttnGraderError, UngradableError, UsageError
from pytest_attn_grader.progress import ProgressLine
from pytest_attn_grader.reports import carrier, junit, terminal, views
from pytest_attn_grader.reports import progress as learning
from pytest_attn_grader.reports.assemble import RunFacts, assemble, collect_facts
from pytest_attn_grader.reports.formats import files
from pytest_attn_grader.reports.signature import take_key
from pytest_attn_grader.results import CheckResult, GradeReport
from pytest_attn_grader.session import GradingSession
from pytest_attn_grader.settings import Settings, read_option, read_settings
from pytest_attn_grader.stash import EVIDENCE_KEY, SESSION_KEY

FACTS_KEY = "attn_grader_facts"
OFFERED_KEY = "attn_grader_offered"


def begin(config: pytest.Config) -> None:
    """Read the settings, start the worker and take part in the run.

    Raises:
        pytest.UsageError: a setting cannot be used; a report that says so has been written when a path was given.
    """
    # Before anything is started that could read it.
    key = take_key()
    try:
        settings = read_settings(config)
        if settings is None:
            return
        collection.set_paths(config)
        run = GradedRun(config, distributed.follow_controller(config, settings), key=key)
    except UsageError as error:
        _report_unusable(config, error, key)
        raise pytest.UsageError(str(error)) from error
    config.pluginmanager.register(run, "attn-grader-run")


def _report_unusable(config: pytest.Config, error: UsageError, key: bytes | None) -> None:
    """Settings that cannot be used leave a report all the same, with the defaults for what could not be read."""
    path, _ = read_option(config, "report")
    student, _ = read_option(config, "student")
    if collection.is_xdist_worker(config):
        return
    here = config.invocation_params.dir
    settings = Settings(student=student or "", report=None if path is None else here / path)
    report = assemble(settings, RunFacts(), (), reason=str(error), exit_code=int(pytest.ExitCode.USAGE_ERROR))
    carrier.write_quietly(report, settings.report, key)
    files.write_quietly(report, read_option(config, "format")[0], here)


class GradedRun:
    """One run: from the settings to the written report."""

    def __init__(self, config: pytest.Config, settings: Settings, *, key: bytes | None = None) -> None:
        self.config = config
        self._key = key
        self._ending = EndGently()
        self.settings = settings
        self.facts = RunFacts()
        self.results: dict[str, CheckResult] = {}
        self.outcomes: dict[str, str] = {}
        self.modules: list[ChecksModule] = []
        self.offered: set[str] = set()
        self.notes: list[str] = []
        self.other_failures = 0
        self.wrong = False
        self.not_collected: list[str] = []
        self.lost_worker = ""
        self.fault: AttnGraderError | None = None
        self.report: GradeReport | None = None
        self.session: GradingSession | None = None
        self.progress = ProgressLine(None)
        if not config.option.collectonly:
            self._start()

    def _start(self) -> None:
        if not collection.is_xdist_worker(self.config):
            unfinished = assemble(self.settings, self.facts, (), reason="the run did not come to its end")
            carrier.claim(unfinished, self.settings, self._key)
            files.claim(unfinished, self.settings.formats)
            carrier.ask_for_json(self.config)
            self._ending.begin()
        session = GradingSession(self.settings)
        isolation.refuse_to_share(session.target, self.config)
        if not collection.is_xdist_controller(self.config):
            self.session = session
            self.config.stash[SESSION_KEY] = session
        if self.session is not None and not collection.is_xdist_worker(self.config):
            # An xdist worker may hold none of the checks: there the process starts when it is first needed.
            session.start()
            self.progress = progress.begin(self.config)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        distributed.tell_worker(node.workerinput, self.settings)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        return distributed.make_scheduler(config, log)

    # --- before the checks --------------------------------------------------------------------------------------------

    def pytest_report_header(self) -> list[str]:
        tier = None if self.session is None else self.session.student_process.tier_in_words
        return terminal.header(self.settings, tier)

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
            self.not_collected.append(report.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        try:
            collection.admit(items)
        except pytest.UsageError as error:
            self.fault = UsageError(str(error))
            if not collection.is_xdist_worker(self.config):
                raise
            # A worker that raises is lost; one that has nothing to do lives to tell the controller.
            items.clear()
            return
        self.offered = collection.offered_ids(self.modules, items)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Load what is not the student's before the first check, so that our own faults cost no check."""
        if self.session is None or collection.is_xdist_worker(self.config) or session.testsfailed:
            return None
        try:
            # A download shows a progress of its own, which ours would write over.
            local = self.settings.model == "mini" or Path(self.settings.model).exists()
            with collection.uncaptured(self.config), self.progress.during("loading the model", unless=not local):
                self.session.prepare()
        except UsageError as error:
            self.fault = error
            raise pytest.UsageError(str(error)) from error
        except UngradableError as error:
            self.fault = error
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
        missing = judging.missing_need(mark, self.outcomes)
        if missing is not None:
            pytest.skip(f"needs {missing}")

    def _prepare_in_worker(self) -> None:
        """A worker cannot end the run; it skips its checks, and the controller learns why from its farewell."""
        if self.fault is None and self.session is not None:
            try:
                self.session.prepare()
            except (UsageError, UngradableError) as error:
                self.fault = error
        if self.fault is not None:
            pytest.skip(str(self.fault))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[Any]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        mark = CheckMark.of(item)
        if mark is not None:
            judging.leave_out_frames(item, call)
        report = yield
        # A check is judged by its call; by its setup when it got no further, and by its teardown when that broke.
        if mark is not None and (report.when == "call" or call.excinfo is not None):
            result = judging.judge(
                item,
                mark,
                call,
                report,
                evidence=item.stash.get(EVIDENCE_KEY, None),
                something_failed=self._has_failures,
                ours=collection.is_check_file(item.path),
                hints=self.settings.hints != "none",
            )
            self.outcomes[result.id] = result.outcome
            self.wrong |= judging.is_wrong(result)
            # An attribute of the report survives xdist, which sends them all.
            report.__dict__["attn_check"] = result.model_dump(mode="json")
            junit.note(item, result)
        return report

    def pytest_report_teststatus(self, report: pytest.CollectReport | pytest.TestReport) -> tuple[str, str, str] | None:
        """A student's fault in a fixture is a failed check, not an error of the test."""
        check = getattr(report, "attn_check", None)
        if check is not None and check["outcome"] == "failed" and report.when == "setup":
            return "failed", "F", "FAILED"
        return None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        check = getattr(report, "attn_check", None)
        if check is not None:
            result = CheckResult.model_validate(check)
            self.results[result.id] = result
        elif report.failed:
            self.other_failures += 1

    # --- after the checks ---------------------------------------------------------------------------------------------

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """The worker that had the checks says what it found, each of them what there was to run."""
        farewell = getattr(node, "workeroutput", {})
        if FACTS_KEY in farewell:
            self.facts = RunFacts.model_validate_json(farewell[FACTS_KEY])
        self.offered |= set(farewell.get(OFFERED_KEY, ()))
        if error:
            self.lost_worker = f"a worker of pytest-xdist was lost ({error})"

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.config.option.collectonly:
            return
        if self.session is not None:
            # A diagnosis takes seconds, and asks the submission again: not when somebody wants us to end.
            diagnosable = self.wrong and session.exitstatus != pytest.ExitCode.INTERRUPTED
            with self.progress.during("looking for the cause" if diagnosable else "measuring"):
                self.facts = collect_facts(self.session, self.fault, failed=diagnosable)
            # Before anything is written: what the submission has started must not be there to write it again.
            self.session.student_process.close()
        if collection.is_xdist_worker(self.config):
            self.config.__dict__["workeroutput"][OFFERED_KEY] = sorted(self.offered)
            if self.outcomes or self.fault is not None:
                self.config.__dict__["workeroutput"][FACTS_KEY] = self.facts.model_dump_json()
            return
        reason = self._ungradable_reason(int(session.exitstatus))
        ended_by_itself = session.exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}
        if reason is not None and (ended_by_itself or self.facts.fault):
            session.exitstatus = self.facts.fault_exit_code or EXIT_UNGRADABLE
        report = assemble(
            self.settings,
            self.facts,
            tuple(self.results.values()),
            reason=reason,
            exit_code=int(session.exitstatus),
            # Left out by -k, -m, --lf …, or by a plugin that says nothing.
            not_selected=sorted(self.offered - self.results.keys()),
            other_failures=self.other_failures,
        )
        ok = session.exitstatus == pytest.ExitCode.OK
        if report.verdict == "ungradable" and ok and not collection.selected_by_hand(self.config):
            # Whoever reads the exit code alone must not take half of the checks for all of them.
            session.exitstatus = EXIT_UNGRADABLE
            report = report.model_copy(update={"exit_code": EXIT_UNGRADABLE})
        self.report = self.config.hook.pytest_attn_modify_report(config=self.config, report=report) or report
        written = carrier.write(self.report, self.config, self.settings, self._key)
        with self.progress.during("drawing"):
            shown = views.write_views(self.report, self.config, self.settings)
        junit.add_properties(self.report, self.config)
        shown = self._keep_progress() and shown
        if not (written and shown):
            session.exitstatus = EXIT_REPORT_LOST
        if written and self.settings.report is not None:
            self.config.hook.pytest_attn_report_written(
                config=self.config, report=self.report, path=str(self.settings.report)
            )
        if session.exitstatus in {EXIT_UNGRADABLE, EXIT_REPORT_LOST}:
            # pytest prints no summary after exit codes that are not its own.
            self._write_summary()

    def _keep_progress(self) -> bool:
        """Add this run to the learner's progress, when that is kept; False, and a line on stderr, when it cannot be."""
        if self.settings.progress is None or self.report is None:
            return True
        try:
            whole = self.offered <= self.results.keys()
            self.notes.append(learning.record(self.report, self.settings.progress, whole=whole))
        except learning.ProgressError as error:
            sys.stderr.write(f"attn-grader: {error}\n")
            return False
        return True

    @property
    def _has_failures(self) -> bool:
        return any(outcome == "failed" for outcome in self.outcomes.values())

    def _ungradable_reason(self, exit_code: int) -> str | None:
        """Why there is no verdict; None when the checks have spoken."""
        reasons = (
            self.facts.fault,
            "the run was ended by SIGTERM" if self._ending.signalled else "",
            *(
                f"the grader itself failed in {result.id}: {result.message}"
                for result in self.results.values()
                if result.outcome == "error"
            ),
            self.lost_worker,
            f"{', '.join(self.not_collected)} could not be collected" if self.not_collected else "",
            judging.EARLY_ENDS.get(exit_code, f"pytest ended with exit code {exit_code} before the checks could speak"),
            "" if self.results or self.other_failures else "none of the grader's checks was run",
        )
        return next(filter(None, reasons), None)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self) -> Generator[None, None, None]:
        """After pytest's list of failures: what is read first is what stands last."""
        yield
        self._write_summary()

    def _write_summary(self) -> None:
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if self.report is not None and reporter is not None:
            terminal.write_summary(self.report, reporter, self.settings)
            for note in self.notes:
                reporter.write_line(note)
            self.report = None

    def pytest_unconfigure(self) -> None:
        self.progress.close()
        self._ending.end()
        if self.session is not None:
            self.session.close()
