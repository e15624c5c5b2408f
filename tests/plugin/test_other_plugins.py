"""Graded runs beside other options and plugins of pytest: the same marks, or ungradable; exit 1 is a mistake only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_attn_grader.errors import EXIT_UNGRADABLE
from tests.support.students import REFERENCE

if TYPE_CHECKING:
    from tests.support.runs import Run, Warm

pytestmark = pytest.mark.slow

NO_SCALE = REFERENCE.replace(" / math.sqrt(query.size(-1))", "")
SHUFFLE = """
import random

def pytest_collection_modifyitems(items):
    random.Random({seed}).shuffle(items)
"""
# As pytest-retry does it: a marker for every test, and another call while the report is made.
RETRIES = """
import pytest

def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker(pytest.mark.flaky(retries=2))

@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed and item.get_closest_marker("flaky"):
        pytest.CallInfo.from_call(lambda: item.ihook.pytest_runtest_call(item=item), when="call")
        report.outcome = "passed"
    return report
"""
FAILS_AT_THE_START = """
def pytest_report_header():
    raise RuntimeError("of another plugin")
"""
BREAKS_OFF = """
def pytest_sessionfinish():
    raise RuntimeError("of another plugin")
"""


def with_conftest(source: str, conftest: str) -> dict[str, str]:
    """A submission, and a folder of the course whose conftest.py is loaded when its path is typed."""
    return {"student.py": source, "course/conftest.py": conftest, "course/test_course.py": "def test_a(): ...\n"}


def marks(run: Run) -> dict[str, tuple[str, float]]:
    """Outcome and points of every check."""
    return {check_id: (check["outcome"], check["points_earned"]) for check_id, check in run.checks.items()}


def test_marks_do_not_depend_on_the_order(warm: Warm) -> None:
    expected = marks(warm.grade(NO_SCALE, "--attn-seed=1"))
    for seed in (1, 2):
        run = warm.grade(with_conftest(NO_SCALE, SHUFFLE.format(seed=seed)), "--attn-seed=1", "course")
        assert marks(run) == expected


@pytest.mark.parametrize("option", ["--maxfail=2", "--deselect=pytest_attn_grader/checks/test_budget.py"])
def test_a_part_of_the_checks_has_neither_verdict_nor_score(option: str, warm: Warm) -> None:
    run = warm.grade(NO_SCALE, option)
    assert run.report["verdict"] == "ungradable"
    assert run.report["reason"].startswith("partial: ")
    assert run.report["score"]["possible"] == 0


def test_part_of_the_checks_by_environment_is_ungradable_by_its_exit_code(warm: Warm) -> None:
    run = warm.grade(REFERENCE, environment={"PYTEST_ADDOPTS": "-k contract"})
    assert (run.exit_code, run.report["verdict"]) == (EXIT_UNGRADABLE, "ungradable")


def test_warnings_that_are_errors_change_nothing(warm: Warm) -> None:
    run = warm.grade(REFERENCE, "-W", "error")
    assert (run.exit_code, run.report["verdict"]) == (0, "passed")


def test_an_exception_of_another_plugin_is_not_the_students(warm: Warm) -> None:
    run = warm.grade(with_conftest(REFERENCE, BREAKS_OFF), "course")
    assert (run.exit_code, run.report["verdict"]) == (EXIT_UNGRADABLE, "ungradable")
    assert "of another plugin" in run.report["reason"]


def test_a_failure_before_the_first_check_is_ungradable(warm: Warm) -> None:
    run = warm.grade(with_conftest(REFERENCE, FAILS_AT_THE_START), "course")
    assert (run.exit_code, run.report["verdict"]) == (EXIT_UNGRADABLE, "ungradable")
    assert "before the first check" in run.report["reason"]


def test_no_plugin_runs_a_check_again_while_its_report_is_made(warm: Warm) -> None:
    expected = marks(warm.grade(NO_SCALE, "--attn-seed=1"))
    run = warm.grade(with_conftest(NO_SCALE, RETRIES), "--attn-seed=1", "course")
    run.assert_tidy()
    assert (run.exit_code, marks(run)) == (1, expected)
