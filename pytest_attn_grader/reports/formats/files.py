"""Write the files of `--attn-format=NAME:PATH`: a placeholder before the run, the result after it, atomically."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pytest_attn_grader.errors import UsageError
from pytest_attn_grader.reports.atomic_write import write_text_atomically
from pytest_attn_grader.reports.escaping import for_path
from pytest_attn_grader.reports.formats import find_format
from pytest_attn_grader.reports.formats.rows import Format
from pytest_attn_grader.results.report import GradeReport
from pytest_attn_grader.settings.reading import parse_formats

Outputs = Sequence[tuple[str, Path]]


def write_placeholders(report: GradeReport, outputs: Outputs) -> None:
    """Write the unfinished report in every format: a run that is killed leaves neither an older result nor a zero.

    Raises:
        UsageError: the format is unknown, or a file cannot be written.
    """
    for name, path in outputs:
        chosen = find_format(name)
        try:
            if _is_step_file(chosen, path):
                _append(path, "")  # shared with other commands: not replaced, but it must be writable
            else:
                write_text_atomically(path, chosen.render(report))
        except OSError as error:
            raise UsageError(
                f"--attn-format={name}:{for_path(path)} cannot be written ({error.strerror}). "
                "Choose a file in an existing folder that you may write to."
            ) from error


def write(report: GradeReport, outputs: Outputs) -> bool:
    """Write the finished report in every format; return False, with a line on stderr, when a file cannot be written."""
    written = True
    for name, path in outputs:
        try:
            write_format(report, find_format(name), path)
        except OSError as error:
            sys.stderr.write(f"attn-grader: {name} could not be written to {for_path(path)}: {error.strerror}\n")
            written = False
    return written


def try_write(report: GradeReport, typed: str | None, folder: Path) -> None:
    """Write the formats of a run that did not start; errors are ignored, because they would hide the run's error."""
    with contextlib.suppress(ValueError):
        for name, path in parse_formats(typed or ""):
            with contextlib.suppress(OSError):
                write_format(report, find_format(name), folder / path)


def write_format(report: GradeReport, chosen: Format, path: Path) -> None:
    """Write one file, or append to it when it is the step's file."""
    text = chosen.render(report)
    if _is_step_file(chosen, path):
        _append(path, text)
    else:
        write_text_atomically(path, text)


def _is_step_file(chosen: Format, path: Path) -> bool:
    """Whether this is the file that GitHub Actions gave to the step; other commands write to it too."""
    given = os.environ.get(chosen.step_file_variable or "")
    return bool(given) and os.path.realpath(path) == os.path.realpath(given or "")


def _append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)
