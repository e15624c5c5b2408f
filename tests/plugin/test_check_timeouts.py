"""A timeout of pytest-timeout is ungradable, by both methods, alone and with xdist, and wherever it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_attn_grader.errors import EXIT_UNGRADABLE
from tests.support.students import REFERENCE

if TYPE_CHECKING:
    from tests.support.runs import Warm

pytestmark = pytest.mark.slow

SLEEPS = "import time\n\ndef attention(query, key, value, mask=None):\n    time.sleep(1000)\n"


@pytest.mark.parametrize("options", [(), ("--timeout-method=thread",), ("-n2",)], ids=["signal", "thread", "xdist"])
@pytest.mark.parametrize("seconds", ["0.001", "0.05"])
def test_a_timeout_of_a_check(seconds: str, options: tuple[str, ...], warm: Warm) -> None:
    run = warm.grade(REFERENCE, f"--timeout={seconds}", *options)
    assert (run.exit_code, run.verdict) == (EXIT_UNGRADABLE, "ungradable"), run.text
    assert "INTERNALERROR" not in run.text
    assert run.report["reason"].startswith("pytest-timeout ended pytest_attn_grader/checks/test_")
    assert f"after {seconds} s" in run.text


def test_a_process_that_xdist_loses_to_the_thread_method(warm: Warm) -> None:
    run = warm.grade(REFERENCE, "--timeout=0.01", "--timeout-method=thread", "-n2")
    assert (run.exit_code, run.verdict) == (EXIT_UNGRADABLE, "ungradable"), run.text
    assert "a worker of pytest-xdist was lost" in run.report["reason"]


def test_a_submission_that_sleeps_is_a_failure_when_the_graders_own_limit_is_lower(warm: Warm) -> None:
    run = warm.grade(SLEEPS, "--timeout=100", "--attn-timeout=1")
    assert (run.exit_code, run.verdict) == (1, "failed")
    assert run.checks["contract.call"]["failure"]["name"] == "timeout"


def test_the_time_of_a_session(warm: Warm) -> None:
    run = warm.grade(REFERENCE, "--session-timeout=0.1")
    run.assert_ungradable(EXIT_UNGRADABLE, "partial: ")
