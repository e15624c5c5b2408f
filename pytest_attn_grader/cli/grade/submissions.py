"""Find the submissions of a class: files, folders, globs, a zip, or a roster that names them."""

from __future__ import annotations

import csv
import glob
import hashlib
import re
import stat
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_attn_grader.errors import UsageError

SUFFIXES = (".py", ".ipynb")
# In a folder with several files these are what was handed in, and the others are helpers.
USUAL_NAMES = ("attention", "my_attention", "submission", "solution", "student")
# Made by machines, not by students.
SKIPPED_FOLDERS = frozenset({"__pycache__", "__MACOSX", "node_modules"})
MAX_ZIP_BYTES = 512 * 1024 * 1024
MAX_ZIP_FILES = 20_000
_UNSAFE_IN_ID = re.compile(r"[^\w.@+-]+")


@dataclass(frozen=True)
class Submission:
    """One student's work.

    Attributes:
        id: names the report; letters, digits and ``. _ - @ +``.
        path: the file to grade.
        folder: what belongs to it: the file alone, or the whole folder.
        name: the function or class in it, when the roster chose one.
    """

    id: str
    path: Path
    folder: Path
    name: str | None = None

    @property
    def target(self) -> str:
        """What `--attn-student` is given."""
        return str(self.path) if self.name is None else f"{self.path}:{self.name}"

    def hash_content(self) -> str:
        """sha256 over everything that belongs to it: what decides whether it has to be graded again."""
        files = [self.path] if self.folder == self.path else sorted(_files_below(self.folder))
        digest = hashlib.sha256(f"{self.path.name}:{self.name}".encode())
        for file in files:
            digest.update(file.relative_to(self.folder.parent).as_posix().encode() + b"\0")
            digest.update(hashlib.sha256(file.read_bytes()).digest())
        return digest.hexdigest()


def find_submissions(sources: Sequence[str], *, roster: Path | None = None, unpack_into: Path) -> list[Submission]:
    """Everything that is to be graded, in the order of the ids.

    A folder with files of code is a class of single files; a folder of folders is a class of folders. In a folder that
    is one submission the file to grade is the only one, or the one with a usual name.

    Args:
        sources: files, folders, globs and zip files as typed.
        roster: a CSV with the columns ``id`` and ``path`` (relative to the roster) and, when wanted, ``name``.
        unpack_into: where zip files are unpacked.

    Raises:
        UsageError: nothing is found, a source is not there, or two submissions have the same id.
    """
    found: list[Submission] = []
    for source in sources:
        for path in _expand(source):
            found += _submissions_in(path, unpack_into)
    if roster is not None:
        found += _in_roster(roster)
    if not found:
        raise UsageError(
            f"{' '.join(sources)}: no submission there. Name .py or .ipynb files, or folders that hold some."
        )
    by_id: dict[str, Submission] = {}
    for submission in found:
        other = by_id.setdefault(submission.id, submission)
        if other.path != submission.path:
            raise UsageError(
                f"{other.path} and {submission.path} would both be {submission.id!r}. Give them ids in a roster "
                "(--roster students.csv with the columns id and path)."
            )
    return [by_id[key] for key in sorted(by_id)]


def _expand(source: str) -> list[Path]:
    if Path(source).exists():
        return [Path(source).resolve()]
    matches = sorted(glob.glob(source, recursive=True))
    if not matches:
        raise UsageError(f"{source}: no such file or folder, and nothing matches it as a pattern.")
    return [Path(match).resolve() for match in matches]


def _submissions_in(path: Path, unpack_into: Path) -> Iterator[Submission]:
    if path.is_dir():
        yield from _in_folder(path)
    elif path.suffix == ".zip":
        yield from _in_folder(_without_wrapping(_unpack(path, unpack_into / path.stem)))
    elif path.suffix in SUFFIXES:
        yield Submission(_safe_id(path.stem), path, path)
    else:
        raise UsageError(f"{path} is no submission: it is neither .py, .ipynb, .zip nor a folder.")


def _in_folder(folder: Path) -> Iterator[Submission]:
    files = _code_in(folder)
    folders = [each for each in sorted(folder.iterdir()) if each.is_dir() and _is_visible(each)]
    for file in files:
        yield Submission(_safe_id(file.stem), file, file)
    for each in folders:
        if any(_files_below(each)):
            yield Submission(_safe_id(each.name), _main_file(each), each)


def _without_wrapping(folder: Path) -> Path:
    """A zip often holds one folder that holds the class."""
    folders = [each for each in folder.iterdir() if each.is_dir() and _is_visible(each)]
    return folders[0] if len(folders) == 1 and not _code_in(folder) else folder


def _main_file(folder: Path) -> Path:
    """The file of a submission that is a folder.

    Raises:
        UsageError: it cannot be told.
    """
    level = folder
    while True:
        files = [file for file in _code_in(level) if file.stem != "__init__"]
        usual = [file for name in USUAL_NAMES for file in files if file.stem.lower() == name]
        if len(files) == 1 or usual:
            return (usual or files)[0]
        below = [each for each in sorted(level.iterdir()) if each.is_dir() and _is_visible(each)]
        if files or len(below) != 1:
            names = ", ".join(file.name for file in files) or "no file of code"
            raise UsageError(
                f"{folder}: which file is the submission? There is {names}. Call it attention.py, or name it in a "
                "roster (--roster students.csv with the columns id and path)."
            )
        level = below[0]


def _in_roster(roster: Path) -> Iterator[Submission]:
    try:
        text = roster.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--roster {roster} cannot be read: {error}.") from error
    rows = csv.DictReader(text.splitlines())
    if not {"id", "path"} <= set(rows.fieldnames or ()):
        raise UsageError(f"--roster {roster}: its first line must name the columns id and path, not {rows.fieldnames}.")
    for row in rows:
        where = f"--roster {roster}, line {rows.line_num}"
        if not (row["id"] or "").strip() or not (row["path"] or "").strip():
            raise UsageError(f"{where}: id or path is empty.")
        path = (roster.parent / row["path"].strip()).resolve()
        if not path.exists():
            raise UsageError(f"{where}: there is no {path}.")
        file = _main_file(path) if path.is_dir() else path
        if file.suffix not in SUFFIXES:
            raise UsageError(f"{where}: {file} is neither a .py nor an .ipynb file.")
        yield Submission(_safe_id(row["id"]), file, path, (row.get("name") or "").strip() or None)


def _safe_id(name: str) -> str:
    """An id becomes a file name: no separators, nothing that begins with a dot."""
    return _UNSAFE_IN_ID.sub("_", name.strip()).lstrip(".") or "submission"


def _code_in(folder: Path) -> list[Path]:
    return [
        file
        for file in sorted(folder.iterdir())
        if file.suffix in SUFFIXES and file.is_file() and not file.name.startswith((".", "conftest", "test_"))
    ]


def _is_visible(folder: Path) -> bool:
    return not folder.name.startswith(".") and folder.name not in SKIPPED_FOLDERS


def _files_below(folder: Path) -> Iterable[Path]:
    """Ordinary files, links left out: one may point anywhere."""
    for entry in sorted(folder.iterdir()):
        if entry.is_symlink() or not _is_visible(entry):
            continue
        if entry.is_dir():
            yield from _files_below(entry)
        elif entry.is_file():
            yield entry


def _unpack(archive: Path, folder: Path) -> Path:
    """Unpack a zip of submissions: nothing outside the folder, no links, no bombs.

    Raises:
        UsageError: it cannot be read, or is not what a class hands in.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = opened.infolist()
            total = sum(member.file_size for member in members)
            if total > MAX_ZIP_BYTES or len(members) > MAX_ZIP_FILES:
                raise UsageError(
                    f"{archive} holds {len(members)} files of {total / 1e6:.0f} MB unpacked; at most {MAX_ZIP_FILES} "
                    f"files of {MAX_ZIP_BYTES / 1e6:.0f} MB are taken. Unpack it yourself and name the folder."
                )
            for member in members:
                if stat.S_ISLNK(member.external_attr >> 16):
                    raise UsageError(f"{archive}: {member.filename} is a link. Unpack it yourself and name the folder.")
                # extract() leaves out drive letters, leading slashes and "..".
                opened.extract(member, folder)
    except (zipfile.BadZipFile, OSError, RuntimeError) as error:
        raise UsageError(f"{archive} cannot be unpacked: {error}.") from error
    return folder
