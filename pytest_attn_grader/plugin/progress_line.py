"""A progress line on a terminal, shown when something takes long and cleared when it is over.

pytest captures what is written during a test, so the terminal is opened a second time before the first test.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

import pytest

from pytest_attn_grader.plugin.collection import CheckMark

if TYPE_CHECKING:
    from rich.progress import Progress

DELAY_SECONDS = 1.5


class ProgressLine:
    """Shows what the run is doing, after a delay.

    Args:
        terminal: where to write; None shows nothing.
        column: returns the column in which pytest's own line ends, where it continues afterwards.
    """

    def __init__(
        self,
        terminal: IO[str] | None,
        column: Callable[[], int] = lambda: 0,
        *,
        delay_seconds: float = DELAY_SECONDS,
    ) -> None:
        self._terminal = terminal
        self._column = column
        self._delay_seconds = delay_seconds
        self._timer: threading.Timer | None = None
        self._progress: Progress | None = None
        self._continue_at = 0

    @contextmanager
    def task(self, description: str) -> Iterator[None]:
        """Show this description and the seconds that it has taken, unless it is over before the delay."""
        if self._terminal is None:
            yield
            return
        self._timer = threading.Timer(self._delay_seconds, self._show, (self._terminal, description))
        self._timer.daemon = True
        self._timer.start()
        try:
            yield
        finally:
            self.hide()

    def hide(self) -> None:
        """Clear the line; nothing is shown until the next task."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()
            self._timer = None
        if self._terminal is not None and self._progress is not None:
            self._progress.stop()
            self._progress = None
            # Up to pytest's own line, and to where it ends.
            self._terminal.write("\x1b[1A\r" + (f"\x1b[{self._continue_at}C" if self._continue_at else ""))
            self._terminal.flush()

    def _show(self, terminal: IO[str], description: str) -> None:
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._continue_at = self._column()
        terminal.write("\n")
        self._progress = Progress(
            SpinnerColumn("line"),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            console=Console(file=terminal, force_terminal=True, legacy_windows=False),
            transient=True,
            # pytest has redirected stdout and stderr; the progress must not redirect them again.
            redirect_stdout=False,
            redirect_stderr=False,
            refresh_per_second=4,
        )
        self._progress.add_task(description, total=None)
        self._progress.start()

    def close(self) -> None:
        """Close the terminal."""
        if self._terminal is not None:
            self._terminal.close()
            self._terminal = None


class ProgressHooks:
    """Shows long checks; registered on a terminal only."""

    def __init__(self, line: ProgressLine) -> None:
        self._line = line

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, None, None]:
        mark = CheckMark.of(item)
        if mark is None:
            return (yield)
        with self._line.task(mark.title):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Generator[None, object, object]:
        """Show the comparison, which a fixture makes before the first check that uses it."""
        if fixturedef.argname != "attn_comparison":
            return (yield)
        with self._line.task("comparing both models"):
            return (yield)

    def pytest_enter_pdb(self) -> None:
        """Leave the terminal to the debugger."""
        self._line.hide()


def start_progress(config: pytest.Config) -> ProgressLine:
    """Show the progress of this run, if standard output is a terminal."""
    terminal = open_terminal()

    def column() -> int:
        # Called when there is something to show: pytest makes its reporter after this plugin is configured.
        has_reporter = config.pluginmanager.hasplugin("terminalreporter")
        return config.get_terminal_writer().width_of_current_line if has_reporter else 0

    line = ProgressLine(terminal, column)
    if terminal is not None:
        config.pluginmanager.register(ProgressHooks(line), "attn-grader-progress")
    return line


def open_terminal() -> IO[str] | None:
    """Open standard output a second time, if it is a terminal that understands escapes; None otherwise."""
    if sys.stdout is None or not sys.stdout.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        return None
    return os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding=sys.stdout.encoding, errors="replace")
