from __future__ import annotations

from types import SimpleNamespace

import pytest

from pytest_attn_grader.errors import UngradableError
from pytest_attn_grader.plugin.collection import CHECKS_NODEID_PREFIX
from pytest_attn_grader.plugin.run_state import RunState
from pytest_attn_grader.results.report import CheckResult

OK, FAILED = int(pytest.ExitCode.OK), int(pytest.ExitCode.TESTS_FAILED)


def result(check_id: str, outcome: str, **more: object) -> CheckResult:
    return CheckResult(id=check_id, title="t", category="equivalence", outcome=outcome, **more)  # type: ignore[arg-type]


def report_of_pytest(**more: object) -> pytest.TestReport:
    fields = {"nodeid": "n", "location": ("f", 1, "n"), "keywords": {}, "outcome": "passed", "longrepr": None}
    return pytest.TestReport(**{**fields, "when": "call", **more})  # type: ignore[arg-type]


def with_results(*results: CheckResult) -> RunState:
    found = RunState()
    for each in results:
        report = report_of_pytest()
        found.record_result(each, report)
        found.handle_report(report)
    return found


def test_a_check_reaches_the_controller_with_pytests_own_report() -> None:
    in_worker, in_controller, report = RunState(), RunState(), report_of_pytest(outcome="failed")
    in_worker.record_result(result("a", "failed"), report)
    in_controller.handle_report(report)
    assert (in_worker.outcomes, in_worker.has_diagnosable_failure) == ({"a": "failed"}, True)
    assert (list(in_controller.results), in_controller.other_failures) == (["a"], 0)


def test_a_failed_test_that_is_no_check_is_counted() -> None:
    found = RunState()
    found.handle_report(report_of_pytest(outcome="failed"))
    found.handle_report(report_of_pytest())
    assert (found.results, found.other_failures) == ({}, 1)


def test_a_worker_that_had_the_checks_tells_what_it_found() -> None:
    worker, controller, words = with_results(result("a", "passed")), RunState(), {}
    worker.collected_ids, worker.data.fault = {"b", "a"}, "no model"
    worker.write_worker_output(words)
    controller.collected_ids = {"c"}
    controller.merge_worker_output(SimpleNamespace(workeroutput=words), None)
    assert (controller.collected_ids, controller.data.fault, controller.lost_worker) == (
        {"a", "b", "c"},
        "no model",
        "",
    )


def test_a_worker_without_checks_has_no_facts_to_tell() -> None:
    worker, controller, words = RunState(), RunState(), {}
    worker.write_worker_output(words)
    controller.data.fault = "known already"
    controller.merge_worker_output(SimpleNamespace(workeroutput=words), None)
    assert controller.data.fault == "known already"
    worker.fault = UngradableError("no model")
    worker.write_worker_output(words)
    controller.merge_worker_output(SimpleNamespace(workeroutput=words), None)
    assert controller.data.fault == ""


def test_a_worker_that_was_lost_says_nothing() -> None:
    found = RunState()
    found.merge_worker_output(SimpleNamespace(), "killed")
    assert "lost (killed)" in str(found.ungradable_reason(OK, signalled=False))


def test_what_was_collected_and_has_no_result_was_not_run() -> None:
    found = with_results(result("a", "passed"))
    found.collected_ids = {"c", "a", "b"}
    assert found.not_run == ["b", "c"]


@pytest.mark.parametrize("outcome", ["passed", "failed", "skipped", "not-applicable"])
def test_checks_that_have_spoken_leave_no_reason(outcome: str) -> None:
    exit_code = FAILED if outcome == "failed" else OK
    assert with_results(result("a", outcome)).ungradable_reason(exit_code, signalled=False) is None


@pytest.mark.parametrize("outcome", ["passed", "skipped", "not-applicable"])
def test_a_failure_that_no_test_explains_is_another_plugins(outcome: str) -> None:
    assert "another plugin" in str(with_results(result("a", outcome)).ungradable_reason(FAILED, signalled=False))


def test_reasons_come_in_their_order() -> None:
    found = with_results(result("a", "error", message="KeyError: 'x'"))
    found.data.fault, found.not_collected = "no model", ["one", "two"]
    reasons = [found.ungradable_reason(FAILED, signalled=True)]
    found.data.fault = ""
    reasons.append(found.ungradable_reason(FAILED, signalled=True))
    reasons.append(found.ungradable_reason(FAILED, signalled=False))
    found.results.clear()
    reasons.append(found.ungradable_reason(FAILED, signalled=False))
    found.not_collected.clear()
    reasons += [found.ungradable_reason(code, signalled=False) for code in (2, 5, 3, OK)]
    words = ("no model", "SIGTERM", "failed in a: KeyError", "one, two", "interrupted", "no check", "code 3", "was run")
    assert [word in str(reason) for word, reason in zip(words, reasons, strict=True)] == [True] * len(words), reasons


def test_the_instructors_failures_are_a_verdict_too() -> None:
    found = RunState()
    found.other_failures = 1
    assert found.ungradable_reason(FAILED, signalled=False) is None


def test_a_check_without_a_result_is_a_lost_process_and_not_a_failure() -> None:
    found = RunState()
    found.handle_report(report_of_pytest(outcome="failed", nodeid=f"{CHECKS_NODEID_PREFIX}test_shape.py::test_shape"))
    assert found.other_failures == 0
    assert "ended without a result" in str(found.ungradable_reason(FAILED, signalled=False))
