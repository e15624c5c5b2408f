"""Expected errors of a command are one line and exit code 2; others are not hidden."""

from __future__ import annotations

import pytest
import typer

from pytest_attn_grader.cli.error_exit import EXIT_USAGE, exit_on_error
from pytest_attn_grader.errors import UsageError


def fail(error: Exception) -> None:
    @exit_on_error
    def command() -> None:
        raise error

    command()


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UsageError("--seed got -1. Give a number above 0."), "--seed got -1. Give a number above 0."),
        (PermissionError(13, "Permission denied", "out/report.json"), "out/report.json: Permission denied"),
        (OSError("no device"), "no device"),
        (UsageError("a\x1b[31mb"), r"a\x1b[31mb"),
    ],
)
def test_an_expected_error(error: Exception, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as raised:
        fail(error)
    assert raised.value.exit_code == EXIT_USAGE
    assert capsys.readouterr().err == f"{line}\n"


@pytest.mark.parametrize("error", [BrokenPipeError(), ZeroDivisionError()])
def test_another_error_is_left_alone(error: Exception) -> None:
    with pytest.raises(type(error)):
        fail(error)


def test_a_command_without_an_error_returns_its_result() -> None:
    assert exit_on_error(lambda: 7)() == 7
