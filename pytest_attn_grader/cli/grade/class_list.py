"""The list of a class beside its reports: the seed, and every submission and roster line, graded or not."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter

from pytest_attn_grader.cli.grade.submissions import ClassSubmission
from pytest_attn_grader.reports.atomic_write import write_text_atomically
from pytest_attn_grader.reports.escaping import for_json

CLASS_LIST_FILE = "class.json"


@dataclass(frozen=True)
class ClassList:
    """Seed and members of a class. A submission that is no longer in it has no row, even if its report exists."""

    seed: int
    members: tuple[ClassSubmission, ...]

    def write(self, folder: Path) -> None:
        document = for_json(json.loads(json.dumps(asdict(self), default=str)))  # a path is written as text
        write_text_atomically(folder / CLASS_LIST_FILE, json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def read_class_list(folder: Path) -> ClassList | None:
    """Read the list; None when the folder has none that can be read."""
    try:
        return TypeAdapter(ClassList).validate_json((folder / CLASS_LIST_FILE).read_bytes())
    except (OSError, ValueError):
        return None
