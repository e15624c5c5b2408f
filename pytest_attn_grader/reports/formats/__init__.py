"""What other graders read: each format a pure view of our JSON document, one small file a format."""

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
    """The format of this name.

    Raises:
        UsageError: there is none; the message lists those that there are.
    """
    for known in FORMATS:
        if known.name == name:
            return known
    raise UsageError(f"There is no format {name!r}. There are {', '.join(known.name for known in FORMATS)}.")
