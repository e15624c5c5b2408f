"""A timeout of pytest-timeout ends a graded run as ungradable.

pytest-timeout itself raises a failure wherever the main thread is, also outside of a test, or ends the process with
exit code 1, which means that the submission failed. The grader limits a slow submission itself (--attn-timeout).
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator
from types import FrameType
from typing import Any

import pytest

from pytest_attn_grader.errors import EXIT_UNGRADABLE
from pytest_attn_grader.plugin.collection import capture_disabled, is_check_file, is_xdist_worker


class CheckTimeouts:
    """The timer of pytest-timeout in a graded run.

    Args:
        record: called with the reason before pytest ends the run.
        write: called with the reason, in another thread, before the process is ended.
    """

    def __init__(self, record: Callable[[str], None], write: Callable[[str], None]) -> None:
        self._record = record
        self._write = write
        self._ended = False
        self._in_phase = False

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self) -> Generator[None, object, object]:
        """Note that this is a part of a test in which pytest takes an exception as the test's."""
        self._in_phase = True
        try:
            return (yield)
        finally:
            self._in_phase = False

    pytest_runtest_call = pytest_runtest_teardown = pytest_runtest_setup

    @pytest.hookimpl(optionalhook=True)
    def pytest_timeout_set_timer(self, item: pytest.Item, settings: Any) -> bool | None:
        """Start the timer: of a check, and of any test whose timeout would end the process."""
        if self._ended:
            return True
        in_main_thread = threading.current_thread() is threading.main_thread()
        if settings.method == "signal" and in_main_thread:
            if not is_check_file(item.path):
                return None
            cancel = self._start_signal(item, settings)
        else:
            cancel = self._start_thread(item, settings)
        item.cancel_timeout = cancel  # type: ignore[attr-defined]  # pytest-timeout calls it
        return True

    def _start_signal(self, item: pytest.Item, settings: Any) -> Callable[[], None]:
        def on_alarm(number: int, frame: FrameType | None) -> None:
            if _is_debugging(settings):
                return
            reason = _reason(item, settings)
            self._record(reason)
            self._ended = True
            if is_xdist_worker(item.config):
                # xdist does not expect a worker to end within a test. The later checks are skipped.
                if self._in_phase:
                    raise pytest.fail.Exception(reason, pytrace=False)
                return
            raise pytest.exit.Exception(reason, returncode=EXIT_UNGRADABLE)

        def cancel() -> None:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)

        signal.signal(signal.SIGALRM, on_alarm)
        signal.setitimer(signal.ITIMER_REAL, settings.timeout)
        return cancel

    def _start_thread(self, item: pytest.Item, settings: Any) -> Callable[[], None]:
        def on_timeout() -> None:
            if _is_debugging(settings):
                return
            try:
                reason = _reason(item, settings)
                self._write(reason)
                if sys.__stderr__ is not None:
                    with capture_disabled(item.config):
                        sys.__stderr__.write(f"{reason}\n")
                        faulthandler.dump_traceback(file=sys.__stderr__)
            finally:
                # The main thread may be in a call that never returns.
                os._exit(EXIT_UNGRADABLE)

        timer = threading.Timer(settings.timeout, on_timeout)
        timer.daemon = True
        timer.start()

        def cancel() -> None:
            timer.cancel()
            timer.join()

        return cancel


def _is_debugging(settings: Any) -> bool:
    from pytest_timeout import is_debugging

    return not settings.disable_debugger_detection and bool(is_debugging())


def _reason(item: pytest.Item, settings: Any) -> str:
    return (
        f"pytest-timeout ended {item.nodeid} after {settings.timeout:g} s. A slow submission is stopped by the grader "
        "itself: leave out pytest's timeout, or set a longer one"
    )
