"""What is graded already: one line of JSON for each submission, appended the moment it is done."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pytest_attn_grader.cli.grade.runners import Outcome


@dataclass(frozen=True)
class Entry:
    """One graded submission.

    Attributes:
        content: the hash of the submission as it was graded.
        asked: the hash of how it was graded (model, options, version).
    """

    outcome: Outcome
    content: str
    asked: str


class Journal:
    """The file, and what it says; a line that an interruption cut short counts as not written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[str, Entry] = {}
        with_end = path.read_text(encoding="utf-8") if path.exists() else ""
        for line in with_end.splitlines():
            entry = _read(line)
            if entry is not None:
                self.entries[entry.outcome.id] = entry
        if with_end and not with_end.endswith("\n"):
            # What comes next must not be appended to half a line.
            with path.open("a", encoding="utf-8") as file:
                file.write("\n")

    def is_done(self, submission_id: str, content: str, asked: str, report: Path) -> bool:
        """Whether this very submission was graded in this very way, with a verdict and a report that is still there."""
        entry = self.entries.get(submission_id)
        return (
            entry is not None
            and (entry.content, entry.asked) == (content, asked)
            and entry.outcome.verdict != "ungradable"
            and report.is_file()
        )

    def append(self, entry: Entry) -> None:
        self.entries[entry.outcome.id] = entry
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(entry)) + "\n")
            file.flush()
            os.fsync(file.fileno())


def _read(line: str) -> Entry | None:
    try:
        found: dict[str, Any] = json.loads(line)
        return Entry(Outcome(**found["outcome"]), str(found["content"]), str(found["asked"]))
    except (ValueError, TypeError, KeyError):
        return None
