"""SIGTERM ends a run once, and another handler is left alone."""

from __future__ import annotations

import signal
import threading

import pytest

from pytest_attn_grader.plugin.sigterm import GracefulTermination, Terminated


@pytest.fixture(autouse=True)
def default_handler() -> object:
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, before)


def test_the_first_signal_ends_the_run_and_a_second_one_nothing() -> None:
    termination = GracefulTermination()
    termination.install()
    with pytest.raises(Terminated):
        signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)  # while the report is written
    assert termination.signalled
    termination.uninstall()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_another_handler_is_left_alone() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    termination = GracefulTermination()
    termination.install()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
    termination.uninstall()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN


def test_another_thread_installs_nothing() -> None:
    termination = GracefulTermination()
    thread = threading.Thread(target=termination.install)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
