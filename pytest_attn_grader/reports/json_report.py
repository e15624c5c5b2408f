"""Write and read the JSON report: pytest-json-report's document with the report under `attn_grader`."""

from __future__ import annotations

import contextlib
import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pytest_attn_grader.errors import UsageError
from pytest_attn_grader.reports.atomic_write import write_text_atomically
from pytest_attn_grader.reports.escaping import for_json, for_path, for_terminal
from pytest_attn_grader.results.base import encode_non_finite
from pytest_attn_grader.results.report import GradeReport
from pytest_attn_grader.settings.settings import Settings

KEY = "attn_grader"
_NUMBERS = re.compile(r"\[\n([\s\d.,e+-]+)\]")


def enable_json_report(config: pytest.Config) -> None:
    """Let pytest-json-report collect its part, without a second file unless the user asked for one."""
    if config.pluginmanager.hasplugin("pytest_jsonreport") and not config.option.json_report:
        config.option.json_report = True
        config.option.json_report_file = None
        config.option.json_report_verbosity = 0  # its "auto-save skipped" would be confusing


def write_placeholder(report: GradeReport, settings: Settings) -> None:
    """Write an unfinished report before the run: a run that is killed leaves no older result behind.

    Raises:
        UsageError: the file cannot be written.
    """
    if settings.report is None:
        return
    try:
        _write_atomically(settings.report, _document(report, None))
    except OSError as error:
        raise UsageError(
            f"--attn-report={for_path(settings.report)} cannot be written ({error.strerror}). Choose a file "
            "in an existing folder that you may write to."
        ) from error


def write(report: GradeReport, config: pytest.Config, settings: Settings) -> bool:
    """Write the finished report; return False, with a line on stderr, when it cannot be written."""
    if settings.report is None:
        return True
    collected = getattr(getattr(config, "_json_report", None), "report", None)
    try:
        _write_atomically(settings.report, _document(report, collected))
    except OSError as error:
        # The terminal may be captured or closed; a batch system keeps stderr.
        sys.stderr.write(
            f"attn-grader: the report {for_path(settings.report)} could not be written: {error.strerror}\n"
        )
        return False
    return True


def try_write(report: GradeReport, path: Path | None) -> None:
    """Write the report of a run that did not start; an error is ignored, because it would hide the run's error."""
    if path is not None:
        with contextlib.suppress(OSError):
            _write_atomically(path, _document(report, None))


def load_report(path: Path) -> GradeReport:
    """Read a report that was written by `--attn-report`.

    Raises:
        UsageError: the file cannot be read, or is not a report that this version can read.
    """
    try:
        return parse_report(path.read_bytes(), path)
    except OSError as error:
        raise UsageError(f"{for_path(path)} cannot be read ({error.strerror}).") from error


def parse_report(content: bytes, path: Path) -> GradeReport:
    """Parse the bytes of a report.

    Raises:
        UsageError: as `load_report`; the message names `path`.
    """
    try:
        return GradeReport.model_validate(json.loads(content.decode("utf-8"))[KEY])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        why = for_terminal(str(error).partition("\n")[0])
        raise UsageError(f"{for_path(path)} is not a report that this version can read: {why}") from error


def _document(report: GradeReport, collected: dict[str, Any] | None) -> dict[str, Any]:
    base = collected or {
        "created": time.time(),
        "duration": 0.0,
        "exitcode": report.exit_code,
        "root": "",
        "environment": {},
        "summary": {"collected": 0, "total": 0},
        "collectors": [],
        "tests": [],
    }
    if report.timing and isinstance(base.get("duration"), (int, float)):
        # A run's process may have waited, all prepared, for the file to be saved.
        base = {**base, "duration": min(base["duration"], sum(phase.seconds for phase in report.timing))}
    # Other plugins and the instructor's tests can put any value into their part.
    base = encode_non_finite(base)
    document: dict[str, Any] = for_json({**base, "exitcode": report.exit_code, KEY: report.model_dump(mode="json")})
    return document


def _write_atomically(path: Path, document: dict[str, Any]) -> None:
    text = json.dumps(document, default=str, skipkeys=True, allow_nan=False, indent=1)
    # A row of a matrix in one line: the file is a third smaller and can be read. No string contains a line break.
    write_text_atomically(path, _NUMBERS.sub(lambda row: f"[{' '.join(row[1].split())}]", text))
