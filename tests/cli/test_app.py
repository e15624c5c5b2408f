"""`attn-grader`, typed as a user types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pytest_attn_grader import __version__
from pytest_attn_grader.cli.app import app
from pytest_attn_grader.misconceptions import MISCONCEPTIONS
from pytest_attn_grader.reports import json_report
from pytest_attn_grader.reports.formats import find_format
from pytest_attn_grader.settings.options import FORMAT_NAMES
from tests.reports.formats import samples


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.stdout, result.stderr


def test_version() -> None:
    assert run("version") == (0, f"{__version__}\n", "")


def test_schema_is_json() -> None:
    code, printed, _ = run("schema")
    assert code == 0
    assert json.loads(printed)["$schema"].startswith("https://json-schema.org/")


def test_schema_of_progress_and_of_nothing() -> None:
    code, printed, _ = run("schema", "--of", "progress")
    assert code == 0
    assert json.loads(printed)["title"] == "pytest-attn-grader progress"
    assert run("schema", "--of", "grades") == (
        2,
        "",
        "There is no schema of 'grades'. There are report, progress, assessment.\n",
    )


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "report.json"
    json_report.try_write(samples.failed(), path)
    return path


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_convert_is_the_format(name: str, report: Path, tmp_path: Path) -> None:
    code, printed, _ = run("convert", str(report), "--to", name)
    assert (code, printed) == (0, find_format(name).render(samples.failed()))
    assert run("convert", str(report), "--to", name, "--out", str(tmp_path / "out")) == (0, "", "")
    assert (tmp_path / "out").read_text() == printed


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read (No such file or directory)"),
        ("{", "is not a report that this version can read: Expecting"),
        ("{}", "is not a report that this version can read: 'attn_grader'"),
        ('{"attn_grader": {"schema_version": "9"}}', "is not a report that this version can read: "),
        ("[]", "is not a report"),
        ('{"attn_grader": ' + "[" * 100_000, "is not a report"),
    ],
)
def test_convert_something_that_is_no_report(content: str | None, words: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "report.json").write_text(content)
    code, printed, said = run("convert", str(tmp_path / "report.json"), "--to", "github")
    assert (code, printed) == (2, "")
    assert words in said


def test_convert_to_what_is_no_format(report: Path) -> None:
    code, _, said = run("convert", str(report), "--to", "moodle")
    assert code == 2
    assert "'moodle'" in said
    assert "gradescope" in said


@pytest.mark.parametrize("name", ["AG801", "ag801", "dropout-eval", "Dropout-Eval"])
def test_explain_by_id_or_slug(name: str) -> None:
    code, printed, _ = run("explain", name)
    assert code == 0
    assert printed.startswith("AG801 dropout-eval: an attention that drops weights, or numbers of the output, outside")
    for part in ("Bad:", "Good:", "Effect:", "Nudge:", "Fix:"):
        assert part in printed


def test_explain_lists_all() -> None:
    code, printed, _ = run("explain")
    assert code == 0
    assert [line.split()[0] for line in printed.splitlines()] == [known.id for known in MISCONCEPTIONS]


def test_explain_an_unknown_one() -> None:
    code, printed, said = run("explain", "dropout-evil")
    assert (code, printed) == (2, "")
    assert said.startswith("There is no misconception 'dropout-evil'. Did you mean dropout-eval or ")


def commands() -> list[str]:
    return [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]


@pytest.mark.parametrize("name", commands())
def test_the_help_of_every_command_has_an_example(name: str) -> None:
    code, printed, _ = run(name, "--help")
    assert code == 0
    assert f"Example: attn-grader {name}" in printed


def test_a_terminal_without_unicode_gets_documents_in_utf8_and_text_escaped(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    json_report.try_write(samples.failed().model_copy(update={"reason": "\u2705"}), report)
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}
    for command in (["convert", str(report), "--to", "github"], ["schema", "--of", "\u2705"]):
        result = subprocess.run(
            [sys.executable, "-m", "pytest_attn_grader.cli.app", *command],
            env=environment,
            capture_output=True,
            check=False,
        )
        assert b"Traceback" not in result.stderr
    assert b"\\u2705" in result.stderr


def test_an_expected_error_is_one_escaped_line() -> None:
    assert run("convert", "no\x1b[2J.json", "--to", "github") == (
        2,
        "",
        "no\\x1b[2J.json cannot be read (No such file or directory).\n",
    )
