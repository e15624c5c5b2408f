"""Recognize the exports of learning management systems by the names of their files and folders.

Canvas, Moodle, Blackboard, Brightspace, Gradescope, GitHub Classroom (a folder of clones) and CodeGrade.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pytest_attn_grader.cli.grade.folders import (
    UNREADABLE_SUFFIX,
    UnusableSubmissionError,
    find_main_file,
    list_entries,
    read_start,
)


@dataclass
class HandIn:
    """One student's part of an export.

    Attributes:
        folder: the student's folder, when the export has one.
        files: the student's files and their original names, when all files are in one folder.
    """

    id: str
    student: str = ""
    aliases: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    folder: Path | None = None
    files: list[tuple[Path, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Export:
    """A recognized export: its hand-ins, and the entries that belong to none."""

    system: str
    hand_ins: tuple[HandIn, ...]
    others: tuple[Path, ...]


_CANVAS = re.compile(r"(?P<student>.+?)_(?:(?P<late>LATE)_)?(?P<id>\d+)_(?:\d+_(?P<file>.+)|text\.html)")
_CANVAS_REVISION = re.compile(r"-\d+(?=\.\w+$)")
_MOODLE = re.compile(r"(?P<student>.+?)_(?P<id>\d+)_assignsubmission_(?:file|onlinetext)(?:_(?P<file>.*)|\.html)?")
_BLACKBOARD = re.compile(r"(?P<assignment>.+)_(?P<id>[^_]+)_attempt_(?P<date>\d{4}(?:-\d\d){5})(?:_(?P<file>.+)|\.txt)")
_BLACKBOARD_NAME = re.compile(r"^Name:\s*(?P<student>.*?)\s*\((?P<id>[^()]+)\)\s*$", re.MULTILINE)
_BRIGHTSPACE = re.compile(
    r"(?P<id>\d+)-\d+\s*-\s*(?P<student>.+?)\s*-\s*(?P<date>[^-]*\b\d{4}\b[^-]*?)(?:\s*-\s*(?P<file>.+\.\w+))?"
)
_BRIGHTSPACE_DATES = ("%b %d, %Y %I%M %p", "%B %d, %Y %I%M %p", "%d %B, %Y %H%M", "%d %b, %Y %H%M", "%d %B, %Y %I%M %p")
_GRADESCOPE = re.compile(r"submission_(?P<id>\d+)")
_GRADESCOPE_FILE = "submission_metadata.yml"
_MAX_METADATA_BYTES = 16 * 1024 * 1024
_CODEGRADE = re.compile(r"(?P<student>.+?) - (?P<date>\d{4}-\d\d-\d\d[T _]\d\d.*)")
_CLASSROOM_SUFFIX = "-submissions"


def recognize_export(folder: Path) -> Export | None:
    """The export in a folder; None when its names fit none of the systems."""
    entries = list_entries(folder)
    for system, parse in _SYSTEMS:
        found, used = parse(folder, entries)
        # At least half of the entries: one name may fit by chance.
        if found and 2 * len(used) >= len(entries):
            others = tuple(entry for entry in entries if entry not in used)
            return Export(system, tuple(found), others)
    return None


def find_own_file(folder: Path) -> Path:
    """Find the file of a submission that is a folder, unless it is one student's file in an export inside a class.

    Such an export is not read by itself: a student could hand in files with the names of others.

    Raises:
        UnusableSubmissionError: there is none, there are several, or it is an export.
        OSError: the folder cannot be read.
    """
    path = find_main_file(folder)
    export = recognize_export(folder)
    hand_ins = () if export is None else export.hand_ins
    if export is not None and len(hand_ins) > 1 and any(path == file for each in hand_ins for file, _ in each.files):
        raise UnusableSubmissionError(
            f"{path.name} is one of {len(hand_ins)} submissions of an export of {export.system}. Name the folder "
            "itself on the command line"
        )
    return path


_Parsed = tuple[list[HandIn], set[Path]]


def _matches(pattern: re.Pattern[str], entries: Iterable[Path]) -> list[tuple[Path, re.Match[str]]]:
    found = [(entry, pattern.fullmatch(entry.name.removesuffix(UNREADABLE_SUFFIX))) for entry in entries]
    return [(entry, match) for entry, match in found if match is not None]


def _add(hand_in: HandIn, entry: Path, original: str | None) -> None:
    """Add a file under its original name, or take the entry as the student's folder."""
    if entry.is_dir() and not entry.is_symlink():
        hand_in.folder = entry
    else:
        marker = UNREADABLE_SUFFIX if entry.name.endswith(UNREADABLE_SUFFIX) else ""
        hand_in.files.append((entry, (original or entry.name.removesuffix(UNREADABLE_SUFFIX)) + marker))


def _parse_canvas(folder: Path, entries: list[Path]) -> _Parsed:
    hand_ins: dict[str, HandIn] = {}
    matches = _matches(_CANVAS, (entry for entry in entries if not entry.is_dir()))
    for entry, match in matches:
        hand_in = hand_ins.setdefault(match["id"], HandIn(match["id"], match["student"], [match["student"]]))
        if match["late"] and "late" not in hand_in.notes:
            hand_in.notes.append("late")
        # A second upload of attention.py is stored as attention-1.py, which no other file could import.
        _add(hand_in, entry, _CANVAS_REVISION.sub("", match["file"] or "text.html"))
    return list(hand_ins.values()), {entry for entry, _ in matches}


def _parse_moodle(folder: Path, entries: list[Path]) -> _Parsed:
    hand_ins: dict[str, HandIn] = {}
    matches = _matches(_MOODLE, entries)
    for entry, match in matches:
        number, student = match["id"], match["student"]
        student = "" if student == "Participant" else student
        hand_in = hand_ins.setdefault(number, HandIn(number, student, [student, f"Participant {number}"]))
        if entry.is_dir() and hand_in.folder is not None and "onlinetext" in entry.name:
            continue
        _add(hand_in, entry, match["file"])
    return list(hand_ins.values()), {entry for entry, _ in matches}


def _parse_blackboard(folder: Path, entries: list[Path]) -> _Parsed:
    attempts: dict[str, dict[str, HandIn]] = defaultdict(dict)
    matches = _matches(_BLACKBOARD, (entry for entry in entries if not entry.is_dir()))
    for entry, match in matches:
        hand_in = attempts[match["id"]].setdefault(match["date"], HandIn(match["id"]))
        if match["file"] is None:
            named = _BLACKBOARD_NAME.search(read_start(entry))
            if named is not None:
                hand_in.student = named["student"]
                hand_in.aliases += [named["student"], named["id"]]
        else:
            _add(hand_in, entry, match["file"])
    return [_newest(each) for each in attempts.values()], {entry for entry, _ in matches}


def _parse_brightspace(folder: Path, entries: list[Path]) -> _Parsed:
    matches = _matches(_BRIGHTSPACE, entries)
    students: dict[str, set[str]] = defaultdict(set)
    for _, match in matches:
        students[match["id"]].add(match["student"])
    attempts: dict[tuple[str, str], dict[str, HandIn]] = defaultdict(dict)
    for entry, match in matches:
        number, student = match["id"], match["student"]
        # The number is the student's, unless several students have it.
        identity = number if len(students[number]) == 1 else student
        date = _brightspace_date(match["date"])
        hand_in = attempts[number, student].setdefault(date, HandIn(identity, student, [student, number]))
        _add(hand_in, entry, match["file"])
    return [_newest(each) for each in attempts.values()], {entry for entry, _ in matches}


def _brightspace_date(text: str) -> str:
    for pattern in _BRIGHTSPACE_DATES:
        try:
            return datetime.strptime(text.replace(":", "").strip(), pattern).isoformat()
        except ValueError:
            continue
    return text


def _parse_gradescope(folder: Path, entries: list[Path]) -> _Parsed:
    matches = [(entry, match) for entry, match in _matches(_GRADESCOPE, entries) if entry.is_dir()]
    metadata = _read_gradescope_metadata(folder / _GRADESCOPE_FILE)
    hand_ins = []
    for entry, _ in matches:
        for submitter in metadata.get(entry.name) or [{}]:
            values = [str(submitter.get(f":{key}") or "") for key in ("sid", "email", "name")]
            sid, email, name = values
            hand_ins.append(HandIn(sid or email or name or entry.name, name, [*filter(None, values)], [], entry))
    return hand_ins, {entry for entry, _ in matches}


def _read_gradescope_metadata(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Submitters by folder; empty when the file is missing or malformed."""
    import yaml

    try:
        # Tags and symbols are Ruby's; as text they are all that is needed.
        document = yaml.load(re.sub(r"!\S+", "", read_start(path, _MAX_METADATA_BYTES)), yaml.BaseLoader)
        return {
            str(key): [each for each in value[":submitters"] if isinstance(each, dict)]
            for key, value in document.items()
            if isinstance(value.get(":submitters"), list)
        }
    except (ValueError, AttributeError, TypeError, yaml.YAMLError, RecursionError):
        return {}


def _parse_codegrade(folder: Path, entries: list[Path]) -> _Parsed:
    attempts: dict[str, dict[str, HandIn]] = defaultdict(dict)
    matches = [(entry, match) for entry, match in _matches(_CODEGRADE, entries) if entry.is_dir()]
    for entry, match in matches:
        student = match["student"]
        attempts[student].setdefault(match["date"], HandIn(student, student, [student], [], entry))
    return [_newest(each) for each in attempts.values()], {entry for entry, _ in matches}


def _parse_classroom(folder: Path, entries: list[Path]) -> _Parsed:
    clones = [entry for entry in entries if not entry.is_symlink() and (entry / ".git").exists()]
    prefix = folder.name.removesuffix(_CLASSROOM_SUFFIX) + "-"
    if not all(clone.name.startswith(prefix) for clone in clones):
        prefix = ""
        if len(clones) > 1:
            same = os.path.commonprefix([clone.name for clone in clones])  # noqa: RUF071 - names, not paths
            prefix = same[: same.rfind("-") + 1]
    names = [clone.name.removeprefix(prefix) for clone in clones]
    hand_ins = [HandIn(name, "", [name], [], clone) for name, clone in zip(names, clones, strict=True)]
    return hand_ins, set(clones)


def _newest(attempts: dict[str, HandIn]) -> HandIn:
    """The attempt with the latest date; its note says how many there are."""
    newest = attempts[max(attempts)]
    for each in attempts.values():
        newest.student = newest.student or each.student
        newest.aliases += [alias for alias in each.aliases if alias not in newest.aliases]
    if len(attempts) > 1:
        newest.notes.append(f"newest of {len(attempts)} attempts")
    return newest


_SYSTEMS: tuple[tuple[str, Callable[[Path, list[Path]], _Parsed]], ...] = (
    ("Moodle", _parse_moodle),
    ("Blackboard", _parse_blackboard),
    ("Gradescope", _parse_gradescope),
    ("Brightspace", _parse_brightspace),
    ("CodeGrade", _parse_codegrade),
    ("GitHub Classroom", _parse_classroom),
    ("Canvas", _parse_canvas),
)
