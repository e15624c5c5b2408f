"""Read a roster: a CSV file in any of the usual encodings, with any of the usual column names."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_attn_grader.cli.grade.submissions import ClassSubmission
from pytest_attn_grader.errors import UsageError

# In order of preference; compared without case, blanks and punctuation.
ID_COLUMNS = (
    *("id", "studentid", "sid", "studentnumber", "orgdefinedid", "sisuserid", "idnumber", "matrikelnummer"),
    *("username", "sisloginid", "login", "loginid", "userid", "netid", "githubusername", "identifier"),
    *("email", "emailaddress", "mail", "kennung", "student"),
)
PATH_COLUMNS = ("path", "file", "folder", "filename", "submission", "submissionpath", "datei", "repository", "repo")
NAME_COLUMNS = ("name", "fullname", "studentname", "student", "displayname", "vollstandigername", "surname", "lastname")
FUNCTION_COLUMNS = ("function", "target", "class", "callable")
_BOMS = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_NOT_LETTERS = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class RosterLine:
    """One student of a roster.

    Attributes:
        path: where the submission is, relative to the roster; empty when the roster does not say.
        function: the function or class to grade, also from a path:NAME; empty when the roster does not say.
        cells: all values of the line, compared with the aliases of a submission.
    """

    number: int
    id: str
    path: str
    student: str
    function: str
    cells: tuple[str, ...]


def read_roster(roster: Path) -> list[RosterLine]:
    """Read the lines of a roster; blank lines are skipped."""
    try:
        content = roster.read_bytes()
    except OSError as error:
        raise UsageError(f"--roster {roster} cannot be read: {error.strerror}.") from error
    lines = _decode(content).splitlines()
    delimiter = max(",;\t|", key=next(filter(str.strip, lines), "").count)
    rows = csv.reader(lines, delimiter=delimiter)
    numbered = [(number, row) for number, row in enumerate(rows, start=1) if any(cell.strip() for cell in row)]
    header = numbered[0][1] if numbered else []
    columns = [_normalize(name) for name in header]
    id_column = _find_column(columns, ID_COLUMNS)
    if id_column is None:
        raise UsageError(
            f"--roster {roster}: the first line names the columns {', '.join(header) or '(none)'}, and none of them is "
            "an id. Call one id; a column path names the submissions."
        )
    places = [
        _find_column(columns, names, without=id_column) for names in (PATH_COLUMNS, NAME_COLUMNS, FUNCTION_COLUMNS)
    ]
    found = []
    for number, row in numbered[1:]:
        cells = [cell.strip() for cell in row]
        path, student, function = (cells[at] if at is not None and at < len(cells) else "" for at in places)
        path, chosen = _split_name(path)
        function = function or chosen
        identity = cells[id_column] if id_column < len(cells) else ""
        if identity or path:
            found.append(RosterLine(number, identity, path, student, function, tuple(filter(None, cells))))
    return found


def _split_name(path: str) -> tuple[str, str]:
    """``attention.py:NAME`` as the path and the name; the name is empty where there is none."""
    place, colon, name = path.rpartition(":")
    return (place, name) if colon and name.isidentifier() and Path(place).suffix else (path, "")


def match_roster(lines: Sequence[RosterLine], found: Sequence[ClassSubmission]) -> list[ClassSubmission]:
    """Give submissions the ids and names of the roster; add a line without a submission as ungradable.

    A submission that is not in the roster keeps its id.
    """
    by_alias: dict[str, ClassSubmission] = {}
    for submission in found:
        for alias in (submission.id, *submission.aliases):
            by_alias.setdefault(_normalize(alias), submission)
    matched, used = [], set()
    for line in lines:
        keys = [_normalize(cell) for cell in (line.id, *line.cells)]
        match = next((by_alias[key] for key in keys if key in by_alias), None)
        if match is None:
            matched.append(ClassSubmission(line.id, student=line.student, problem="no submission, only a roster line"))
        else:
            used.add(id(match))
            student = line.student or match.student
            matched.append(replace(match, id=line.id, student=student, name=line.function or match.name))
    extra = [each for each in found if id(each) not in used]
    return matched + [replace(each, notes=(*each.notes, "not in the roster")) for each in extra]


def _decode(content: bytes) -> str:
    for bom, encoding in _BOMS:
        if content.startswith(bom):
            return content.decode(encoding, "replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        # Every byte means something in latin-1; spreadsheets on Windows write its superset cp1252.
        return content.decode("cp1252", "replace")


def _normalize(text: str) -> str:
    return _NOT_LETTERS.sub("", text).casefold()


def _find_column(columns: Sequence[str], names: Sequence[str], *, without: int | None = None) -> int | None:
    return next((columns.index(name) for name in names if name in columns and columns.index(name) != without), None)
