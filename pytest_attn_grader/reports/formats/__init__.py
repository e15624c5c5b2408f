"""Formats that other graders read: one module per format, each a pure view of the report."""

from __future__ import annotations

from pytest_attn_grader.errors import UsageError
from pytest_attn_grader.reports.formats import (
    exercism,
    github_annotations,
    github_classroom,
    github_summary,
    gradescope,
    prairielearn,
)
from pytest_attn_grader.reports.formats.rows import Format

FORMATS: tuple[Format, ...] = (
    gradescope.FORMAT,
    github_summary.FORMAT,
    github_annotations.FORMAT,
    github_classroom.FORMAT,
    prairielearn.FORMAT,
    exercism.FORMAT,
)


def find_format(name: str) -> Format:
    """Return the format of this name.

    Raises:
        UsageError: the name is unknown; the message lists the known names.
    """
    for known in FORMATS:
        if known.name == name:
            return known
    raise UsageError(f"Unknown format {name!r}. Use one of: {', '.join(known.name for known in FORMATS)}.")
