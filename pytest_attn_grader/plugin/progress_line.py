"""What is going on when it takes long: a line of its own on a terminal, wiped away when it is over.

pytest captures what is written during a test, so the terminal is opened once more before the first one.
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
    from rich.live import Live

# Shorter waits need no word.
DELAY_SECONDS = 1.5


class ProgressLine:
    """Says what takes so long, after a moment of patience.

    Args:
        terminal: where to write; None says nothing.
        column: asked where pytest's own line ends, so that it can go on there.
    """

    def __init__(
        self,
        terminal: IO[str] | None,
        column: Callable[[], int] = lambda: 0,
        *,
        patience_seconds: float = DELAY_SECONDS,
    ) -> None:
        self._terminal = terminal
        self._column = column
        self._patience_seconds = patience_seconds
        self._timer: threading.Timer | None = None
        self._live: Live | None = None
        self._back = 0

    @contextmanager
    def during(self, what: str, *, unless: bool = False) -> Iterator[None]:
        """Show this, and the seconds it has taken, if it is not over soon."""
        if self._terminal is None or unless:
            yield
            return
        self._timer = threading.Timer(self._patience_seconds, self._show, (self._terminal, what))
        self._timer.daemon = True
        self._timer.start()
        try:
            yield
        finally:
            self.hide()

    def hide(self) -> None:
        """Leave the terminal to somebody else; nothing is shown until the next wait."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()
            self._timer = None
        if self._terminal is not None:
            self._wipe(self._terminal)

    def _show(self, terminal: IO[str], what: str) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        console = Console(file=terminal, force_terminal=True, legacy_windows=False)
        progress = Progress(
            SpinnerColumn("line"), TextColumn("{task.description}", markup=False), TimeElapsedColumn(), console=console
        )
        progress.add_task(what, total=None)
        self._back = self._column()
        terminal.write("\n")
        # pytest has its own idea of what stdout is; a live display must not change it.
        self._live = Live(
            progress,
            console=console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            refresh_per_second=4,
        )
        self._live.start()

    def _wipe(self, terminal: IO[str]) -> None:
        if self._live is None:
            return
        self._live.stop()
        self._live = None
        # Up to pytest's own line, and to where it ends.
        terminal.write("\x1b[1A\r" + (f"\x1b[{self._back}C" if self._back else ""))
        terminal.flush()

    def close(self) -> None:
        """Give the terminal back."""
        if self._terminal is not None:
            self._terminal.close()
            self._terminal = None


class ProgressHooks:
    """The waits within the checks: registered on a terminal only."""

    def __init__(self, line: ProgressLine) -> None:
        self._line = line

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, None, None]:
        mark = CheckMark.of(item)
        with self._line.during(mark.title if mark else "", unless=mark is None):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Generator[None, object, object]:
        """The comparison is a fixture: it is made before the first check that looks at it."""
        with self._line.during("comparing both models", unless=fixturedef.argname != "attn_comparison"):
            return (yield)

    def pytest_enter_pdb(self) -> None:
        """Whoever debugs a check of the course has the terminal."""
        self._line.hide()


def begin(config: pytest.Config) -> ProgressLine:
    """Watch this run, if there is a terminal to say it on."""
    terminal = open_terminal()

    def column() -> int:
        # Asked when there is something to show: now pytest has not made its reporter yet.
        shown = config.pluginmanager.hasplugin("terminalreporter")
        return config.get_terminal_writer().width_of_current_line if shown else 0

    line = ProgressLine(terminal, column)
    if terminal is not None:
        config.pluginmanager.register(ProgressHooks(line), "attn-grader-progress")
    return line


def open_terminal() -> IO[str] | None:
    """Standard output once more, if it is a terminal that understands escapes; None otherwise."""
    if not sys.stdout.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        return None
    return os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding=sys.stdout.encoding, errors="replace")
