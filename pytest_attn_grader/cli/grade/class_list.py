"""The list of a class beside its reports: every submission and roster line, with its id and the name of its files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

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
    members = [{name: getattr(each, name) for name in ClassMember.__dataclass_fields__} for each in submissions]
    write_text_atomically(folder / CLASS_LIST_FILE, json.dumps(for_json(members), indent=1, ensure_ascii=False) + "\n")


def read_class_list(folder: Path) -> list[ClassMember] | None:
    """Read the list; None when the folder has none that can be read."""
    try:
        return TypeAdapter(list[ClassMember]).validate_json((folder / CLASS_LIST_FILE).read_bytes())
    except (OSError, ValueError):
        return None
