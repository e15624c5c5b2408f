"""Turn an expected error, which any function of a command may raise, into one line on stderr and exit code 2."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import typer

from pytest_attn_grader.errors import AttnGraderError

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def exit_on_error(command: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Make a command print an `AttnGraderError` or an `OSError` as one line, and exit with code 2.

    A closed pipe (`attn-grader explain | head`) is left to typer, which ends quietly.
    """

    @functools.wraps(command)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            return command(*args, **kwargs)
        except BrokenPipeError:
            raise
        except (AttnGraderError, OSError) as error:
            from pytest_attn_grader.reports.escaping import for_log

            typer.echo(for_log(_describe(error)), err=True)
            raise typer.Exit(EXIT_USAGE) from error

    return run


def _describe(error: Exception) -> str:
    """One line: an `OSError` by the path and the system's words."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)
