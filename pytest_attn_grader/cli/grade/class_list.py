"""The list of a class beside its reports: every submission and roster line, with its id and the name of its files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_attn_grader.cli.grade.submissions import ClassSubmission
from pytest_attn_grader.reports.atomic_write import write_text_atomically
from pytest_attn_grader.reports.escaping import for_json

CLASS_LIST_FILE = "class.json"


@dataclass(frozen=True)
class ClassMember:
    """One row of the gradebook, graded or not."""

    id: str
    file_stem: str
    student: str = ""
    notes: tuple[str, ...] = ()
    problem: str = ""


def write_class_list(folder: Path, submissions: Sequence[ClassSubmission]) -> None:
    """Write the list; a submission that is no longer in it has no row, even if its report still exists."""
    members = [
        {
            "id": each.id,
            "file_stem": each.file_stem,
            "student": each.student,
            "notes": each.notes,
            "problem": each.problem,
        }
        for each in submissions
    ]
    write_text_atomically(folder / CLASS_LIST_FILE, json.dumps(for_json(members), indent=1, ensure_ascii=False) + "\n")


def read_class_list(folder: Path) -> list[ClassMember] | None:
    """Read the list; None when the folder has none that can be read."""
    try:
        members = json.loads((folder / CLASS_LIST_FILE).read_text(encoding="utf-8"))
        return [
            ClassMember(
                id=str(each["id"]),
                file_stem=str(each["file_stem"]),
                student=str(each["student"]),
                notes=tuple(map(str, each["notes"])),
                problem=str(each["problem"]),
            )
            for each in members
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return None
