"""The options of a single run, offered by `attn-grader grade` without the prefix `attn-`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

import pytest
import typer

from pytest_attn_grader.errors import UsageError
from pytest_attn_grader.settings.options import INI_LISTS, OPTIONS, read_option
from pytest_attn_grader.settings.reading import read_settings
from pytest_attn_grader.settings.settings import Settings

# `grade` sets these for each submission, from its id, --out, --pages, --plots and --format.
SET_BY_GRADE = frozenset({"student", "report", "html", "plots", "format", "progress", "title"})
RUN_OPTIONS = tuple(option for option in OPTIONS if option.noun not in SET_BY_GRADE)
Command = TypeVar("Command", bound=Callable[..., None])


def with_run_options(command: Command) -> Command:
    """Replace the `**run_options` of a typer command by one option for each of `RUN_OPTIONS` and `INI_LISTS`."""
    signature = inspect.signature(command, eval_str=True)
    own = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
    generated = [
        _parameter(option.noun, str | None, option.metavar, f"As {option.flag}: {option.help}.")
        for option in RUN_OPTIONS
    ]
    lists = [
        _parameter(
            name,
            list[str] | None,
            metavar,
            f"As ini option attn_{name}, and in place of it: {help_text}. May be repeated.",
        )
        for name, (metavar, help_text) in INI_LISTS.items()
    ]
    keyword_only = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own]
    command.__signature__ = signature.replace(parameters=[*keyword_only, *generated, *lists])  # type: ignore[attr-defined]
    return command


def _parameter(name: str, kind: Any, metavar: str, help_text: str) -> inspect.Parameter:
    """A parameter of a typer command that is an option; None when it is not typed."""
    option = typer.Option(f"--{name.replace('_', '-')}", metavar=metavar, help=help_text)
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option])


def pytest_arguments(run_options: Mapping[str, Any], more: Sequence[str]) -> tuple[str, ...]:
    """The options of pytest for these values (None: not given) and for what `--option` passes on."""
    typed = [(option, run_options[option.noun]) for option in RUN_OPTIONS]
    lists = [(name, run_options.get(name)) for name in INI_LISTS]
    return (
        *(f"{option.flag}={value}" for option, value in typed if value is not None),
        *(f"--override-ini=attn_{name}=" + "\n".join(lines) for name, lines in lists if lines),
        *more,
    )


def read_run_settings(arguments: Sequence[str]) -> tuple[Settings, int | None]:
    """Read the settings as pytest will read them: from these arguments, the environment and the ini file here.

    Returns:
        The settings, and the seed that was given; None when each run would draw one.
    """
    # pytest has no public function that parses a command line without running it; xdist's workers call this one too.
    from _pytest.config import _prepareconfig

    before = [*sys.path]
    try:
        # This package is imported already, which pytest warns of: an error where the ini file makes errors of warnings.
        extra = ("-W", "ignore::pytest.PytestAssertRewriteWarning", "--noconftest", "--capture=no")
        config = _prepareconfig([*arguments, *extra, "-p", "no:cacheprovider"])
        try:
            # Only a run with a student has settings; the submissions are named later.
            config.option.attn_student = "submission"
            settings = read_settings(config)
            assert settings is not None
            return settings, None if read_option(config, "seed")[0] is None else settings.seed
        finally:
            config._ensure_unconfigure()
    except pytest.UsageError as error:
        raise UsageError(str(error)) from error
    finally:
        sys.path[:] = before
