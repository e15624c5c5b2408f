"""Find wrong submissions whose errors are the same: a pointer for an instructor, never a verdict."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_attn_grader.cli.grade.gradebook_rows import GradebookRow

# Evidence that depends on the submission alone: two that share all of it to six digits behave the same.
FINGERPRINT = ("output_error", "weights_error")
FINGERPRINT_DIGITS = 6


@dataclass(frozen=True)
class LookAlikes:
    """A group of rows with the same errors, and the mistakes that were named in it."""

    rows: tuple[GradebookRow, ...]
    mistakes: tuple[str, ...]


def find_look_alikes(rows: Sequence[GradebookRow]) -> list[LookAlikes]:
    """Group wrong submissions whose errors are the same on the same inputs.

    A common mistake gives every student the same numbers, so groups without a named mistake come first.
    """
    groups: dict[tuple[object, ...], list[GradebookRow]] = defaultdict(list)
    for row in rows:
        fingerprint = _fingerprint(row)
        if fingerprint is not None:
            groups[fingerprint].append(row)
    found = [
        LookAlikes(tuple(group), tuple(dict.fromkeys(slug for row in group for slug in row.mistakes)))
        for group in groups.values()
        if len(group) > 1
    ]
    return sorted(found, key=lambda group: (bool(group.mistakes), group.rows[0].id))


def _fingerprint(row: GradebookRow) -> tuple[object, ...] | None:
    """The errors of every failed check and the seeds they belong to; None when there are no such errors."""
    if row.report is None or row.report.verdict != "failed":
        return None
    numbers = tuple(
        (check.id, name, f"{value:.{FINGERPRINT_DIGITS - 1}e}")
        for check in row.report.checks
        if check.outcome == "failed"
        for name in FINGERPRINT
        if isinstance(value := check.evidence.get(name), float)
    )
    return (*sorted(row.report.seeds.items()), *numbers) if numbers else None
