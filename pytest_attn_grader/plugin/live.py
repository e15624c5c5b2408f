"""`grade(attention)`: grade a live object in a notebook or any Python session, with the checks of a pytest run.

The object is graded in this process (tier `none`): it is the caller's own code on the caller's own machine. Between two
calls the model and all imports are kept, so that the second one takes less than a second on `mini`.
"""

from __future__ import annotations

import difflib
import inspect
import os
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from pytest_attn_grader.errors import UsageError
from pytest_attn_grader.plugin.stash import LIVE_KEY
from pytest_attn_grader.results.report import GradeReport
from pytest_attn_grader.settings.options import OPTIONS
from pytest_attn_grader.settings.settings import Settings
from pytest_attn_grader.submission.target import Target

# What a live run decides by itself.
_FIXED = frozenset({"student", "sandbox", "require_sandbox"})
_PYTEST_ARGUMENTS = (
    "--noconftest",
    f"--config-file={os.devnull}",
    "--capture=no",
    # Only what the checks need: another plugin may print, or count on a terminal.
    "-p",
    "pytest_attn_grader.plugin.hooks",
    # The first two print or write; the others look for garbage at the end, which takes a third of a short run.
    *("-p", "no:terminal", "-p", "no:cacheprovider"),
    *("-p", "no:unraisableexception", "-p", "no:threadexception"),
)


class LiveReport(GradeReport):
    """A report that shows itself: as a short page in a notebook, as text in a console."""

    def _repr_html_(self) -> str:
        from pytest_attn_grader.reports.inline_html import render_inline

        return render_inline(self)

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {"text/html": self._repr_html_(), "text/plain": str(self)}

    def __str__(self) -> str:
        from pytest_attn_grader.reports.terminal import render_text

        return render_text(self, Settings(student=self.student.target))

    __repr__ = __str__


def grade(attention: object, *, name: str | None = None, **options: object) -> LiveReport:
    """Grade a function, class, module instance or module, and return the report.

    Args:
        attention: a live object; of a module the one thing in it that can be graded.
        name: of a module, what to grade in it.
        options: the options of the command line by their names, such as ``model="mini"``, ``layer="all"``,
            ``html="report.html"`` or ``hints="nudge"``.

    Returns:
        The report. A notebook shows it as the last line of a cell.

    Raises:
        TypeError: an option has no such name, or the object cannot be graded.
        UsageError: the value of an option cannot be used, or the module defines several candidates.
        KeyboardInterrupt: the stop button was pressed.
    """
    typed = name or getattr(attention, "__name__", None) or type(attention).__name__
    arguments = [f"--attn-student={typed}", "--attn-sandbox=none", *_PYTEST_ARGUMENTS, *_arguments(options)]
    with tempfile.TemporaryDirectory(prefix="attn-grader-") as folder, _kept_process_state():
        _keep_model(str(options.get("model", "auto")), str(options.get("device", "auto")))
        run = _LiveRun(_make_target(attention, typed, name, Path(folder)))
        exit_code = pytest.main(arguments, plugins=[run])
        sys.stdout.flush()
    if run.usage_error is not None:
        raise UsageError(run.usage_error)
    if run.report is None or exit_code == pytest.ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    return LiveReport.model_construct(**dict(run.report))


@dataclass
class _LiveRun:
    """A pytest plugin for one call of `grade`: hands over the object and receives the report."""

    target: Target
    report: GradeReport | None = None
    usage_error: str | None = None

    def pytest_addoption(self, parser: pytest.Parser) -> None:
        # Of pytest's terminal plugin, which is left out; pytest-json-report reads it.
        parser.addoption("--tb", dest="tbstyle", default="auto", help="not used")

    def pytest_load_initial_conftests(self, early_config: pytest.Config) -> None:
        early_config.stash[LIVE_KEY] = self.target

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_cmdline_main(self) -> Generator[None, int | None, int | None]:
        try:
            return (yield)
        except pytest.UsageError as error:
            self.usage_error = str(error)
            return int(pytest.ExitCode.USAGE_ERROR)

    @pytest.hookimpl(trylast=True)
    def pytest_attn_modify_report(self, report: GradeReport) -> None:
        self.report = report


def _arguments(options: dict[str, object]) -> list[str]:
    """The options as the command line has them.

    Raises:
        TypeError: there is no such option, or a live run decides it by itself.
    """
    known = {option.noun: option for option in OPTIONS if option.noun not in _FIXED}
    arguments = []
    for name, value in options.items():
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            meant = f" Did you mean {close[0]!r}?" if close else ""
            raise TypeError(f"grade() has no option {name!r}.{meant} There are {', '.join(known)}.")
        values = value if isinstance(value, (list, tuple)) else [value]
        arguments += [f"{known[name].flag}={each}" for each in values]
    if "report" in options:
        arguments += ["-p", "pytest_metadata.plugin", "-p", "pytest_jsonreport.plugin"]
    return arguments


def _make_target(attention: object, typed: str, name: str | None, folder: Path) -> Target:
    """The object as a submission: a module that holds it, and a file with its source where Python knows it.

    Raises:
        TypeError: it can neither be called nor holds anything.
    """
    if isinstance(attention, ModuleType):
        module = attention
    elif callable(attention):
        name = typed if typed.isidentifier() else "attention"
        module = ModuleType(getattr(attention, "__module__", None) or "live")
        setattr(module, name, attention)
    else:
        raise TypeError(
            f"grade() got {type(attention).__name__!r}, which cannot be called. "
            "Give it a function, a torch.nn.Module or a module; a file is graded by pytest --attn-student=FILE."
        )
    path = folder / "live.py"
    path.write_text(_source_of(attention), encoding="utf-8")
    return Target(typed=typed, path=path, module="live", name=name, root=folder, live=module)


def _source_of(attention: object) -> str:
    shown = attention if isinstance(attention, ModuleType) or inspect.isroutine(attention) else type(attention)
    shown = attention if isinstance(attention, type) else shown
    try:
        return inspect.getsource(shown)
    except (OSError, TypeError):
        return ""  # typed into a console: Python has not kept it


def _keep_model(request: str, device: str) -> None:
    """Load the model once for all calls; where that fails, the run says so in its report."""
    from pytest_attn_grader.errors import UngradableError
    from pytest_attn_grader.models.load import ignore_missing_widgets, preload_model

    with suppress(UngradableError, UsageError), ignore_missing_widgets():
        preload_model(request, device=device)


@contextmanager
def _kept_process_state() -> Iterator[None]:
    """Give the session back its import path, folder and random numbers."""
    import torch

    path, folder, random_state, environment = [*sys.path], os.getcwd(), torch.get_rng_state(), {**os.environ}
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    os.environ.pop("PYTEST_ADDOPTS", None)
    try:
        yield
    finally:
        sys.path[:] = path
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        torch.set_rng_state(random_state)
