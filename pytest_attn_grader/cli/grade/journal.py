"""The journal of a class: one JSON line for each graded submission, appended when it finishes."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter

from pytest_attn_grader.cli.grade.runners import Outcome


@dataclass(frozen=True)
class Entry:
    """One graded submission.

    Attributes:
        content_hash: hash of the submission as it was graded.
        settings_hash: hash of the settings it was graded with (model, options, version).
    """

    outcome: Outcome
    content_hash: str
    settings_hash: str


class Journal:
    """The journal file and its entries. A line that an interrupt cut short is ignored."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[str, Entry] = {}
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        for line in text.splitlines():
            entry = _parse_line(line)
            if entry is not None:
                self.entries[entry.outcome.id] = entry
        if text and not text.endswith("\n"):
            # Do not append to half a line.
            with path.open("a", encoding="utf-8") as file:
                file.write("\n")

    def is_done(self, submission_id: str, content_hash: str, settings_hash: str, report: Path) -> bool:
        """Whether the same submission has a verdict with the same settings, and its report still exists."""
        entry = self.entries.get(submission_id)
        return (
            entry is not None
            and (entry.content_hash, entry.settings_hash) == (content_hash, settings_hash)
            and entry.outcome.verdict != "ungradable"
            and report.is_file()
        )

    def append(self, entry: Entry) -> None:
        self.entries[entry.outcome.id] = entry
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(entry)) + "\n")
            file.flush()
            os.fsync(file.fileno())


def _parse_line(line: str) -> Entry | None:
    try:
        return TypeAdapter(Entry).validate_json(line)
    except ValueError:
        return None
