from __future__ import annotations

import io
import os
import sys
import threading
from pathlib import Path

import pytest

from pytest_attn_grader.plugin import progress_line
from pytest_attn_grader.plugin.progress_line import ProgressHooks, ProgressLine

SECONDS = 10.0


class Terminal(io.StringIO):
    """Tells when something was written that it waits for."""

    def __init__(self, awaited: str) -> None:
        super().__init__()
        self._awaited = awaited
        self.seen = threading.Event()

    def write(self, text: str) -> int:
        written = super().write(text)
        if self._awaited in self.getvalue():
            self.seen.set()
        return written


def test_a_long_wait_is_named_and_wiped_away() -> None:
    terminal = Terminal("equals the reference [x]")
    line = ProgressLine(terminal, lambda: 7, delay_seconds=0.0)
    with line.task("equals the reference [x]"):
        assert terminal.seen.wait(SECONDS)
    shown = terminal.getvalue()
    assert shown.startswith("\n"), "a line of its own, below pytest's"
    assert shown.endswith("\x1b[2K\x1b[1A\r\x1b[7C"), "wiped, then back to where pytest's line ends"
    line.close()
    assert terminal.closed


def test_a_short_one_is_not() -> None:
    terminal = Terminal("")
    with ProgressLine(terminal, delay_seconds=SECONDS).task("x"):
        pass
    assert terminal.getvalue() == ""
    assert threading.active_count() == len(threading.enumerate())
    assert not any(isinstance(thread, threading.Timer) for thread in threading.enumerate())


def test_what_fails_inside_is_wiped_away_too() -> None:
    terminal = Terminal("boom")
    line = ProgressLine(terminal, delay_seconds=0.0)

    def fail() -> None:
        with line.task("boom"):
            assert terminal.seen.wait(SECONDS)
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        fail()
    assert terminal.getvalue().endswith("\x1b[1A\r")


def test_a_debugger_gets_the_terminal() -> None:
    terminal = Terminal("waiting")
    line = ProgressLine(terminal, delay_seconds=0.0)
    with line.task("waiting"):
        assert terminal.seen.wait(SECONDS)
        ProgressHooks(line).pytest_enter_pdb()
        wiped = terminal.getvalue()
        assert wiped.endswith("\x1b[1A\r")
    assert terminal.getvalue() == wiped, "nothing is shown after that"


def test_without_a_terminal_nothing_is_said() -> None:
    line = ProgressLine(None, delay_seconds=0.0)
    with line.task("x"):
        pass
    line.close()


def test_only_a_terminal_that_understands_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    with (tmp_path / "out").open("w") as file:
        monkeypatch.setattr(sys, "stdout", file)
        assert progress_line.open_terminal() is None
    ours, theirs = os.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        opened = progress_line.open_terminal()
        assert opened is not None
        assert opened.isatty()
        assert opened.fileno() != terminal.fileno(), "another one: pytest redirects its own"
        opened.close()
        monkeypatch.setenv("TERM", "dumb")
        assert progress_line.open_terminal() is None
    os.close(ours)
