from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pytest_attn_grader.plugin.failure_list import ShortSummary, shorten_failures
from pytest_attn_grader.plugin.run_state import RunState
from tests.support.reports import check

WHOLE = "no weight\nexpected: zero\nactual:   a weight of 0.5\nhint:     the mask"


def failed_test(longrepr: Any = WHOLE) -> pytest.TestReport:
    return pytest.TestReport("n", ("f", 1, "n"), {}, "failed", longrepr, "call")


def failed_check(longrepr: Any = WHOLE, actual: str = "a weight of 0.5") -> pytest.TestReport:
    report = failed_test(longrepr)
    RunState().record_result(check("failed", title="no weight", actual=actual), report)
    return report


def config_with(reporter: Any, tbstyle: str = "auto") -> Any:
    plugins = SimpleNamespace(get_plugin=lambda _: reporter)
    return SimpleNamespace(option=SimpleNamespace(tbstyle=tbstyle), pluginmanager=plugins)


def shorten(*reports: pytest.TestReport, verbosity: int = 0, tbstyle: str = "auto") -> list[Any]:
    reporter = SimpleNamespace(verbosity=verbosity, stats={"failed": list(reports)})
    shorten_failures(config_with(reporter, tbstyle))
    return [report.longrepr for report in reports]


def test_all_failed_checks_but_the_first_are_two_lines() -> None:
    first, second, third = shorten(failed_check(), failed_check(), failed_check(actual="0.5\x1b[2J\n::error::x"))
    assert first == WHOLE
    assert second == "no weight\nactual:   a weight of 0.5"
    assert third.startswith("no weight\nactual:   0.5\\x1b")
    assert "\n::error::" not in third


def test_tests_that_are_no_checks_stay_as_they_are() -> None:
    assert shorten(failed_test(), failed_check(), failed_test()) == [WHOLE, WHOLE, WHOLE]


def test_an_assertion_that_pytest_explains_stays_and_is_not_the_first() -> None:
    explained = object()
    shown = shorten(failed_check(explained), failed_check(), failed_check(explained), failed_check())
    assert shown == [explained, WHOLE, explained, "no weight\nactual:   a weight of 0.5"]


@pytest.mark.parametrize("options", [{"verbosity": 1}, {"tbstyle": "long"}])
def test_the_whole_text_can_be_asked_for(options: dict[str, Any]) -> None:
    assert shorten(failed_check(), failed_check(), **options) == [WHOLE, WHOLE]


def test_the_short_summary_has_titles_only() -> None:
    explained = object()
    reports = [failed_check(), failed_test(), failed_check(explained), failed_check()]
    ShortSummary().pytest_terminal_summary(config_with(SimpleNamespace(stats={"failed": reports})))
    assert [report.longrepr for report in reports] == ["no weight", WHOLE, explained, "no weight"]


def test_a_run_without_a_terminal_has_no_list() -> None:
    shorten_failures(config_with(None))
    ShortSummary().pytest_terminal_summary(config_with(None))
