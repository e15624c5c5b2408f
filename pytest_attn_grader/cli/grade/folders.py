"""Find the file to grade in a folder, without following links and within bounds."""

from __future__ import annotations

import os
import stat
from pathlib import Path

SUFFIXES = (".py", ".ipynb")
ARCHIVE_SUFFIX = ".zip"
# `archives` writes such a file in place of a member that it could not unpack; it contains the reason.
UNREADABLE_SUFFIX = ".unreadable"
# Among several files these are the submission, and the others are its helpers.
USUAL_NAMES = ("attention", "my_attention", "submission", "solution", "student")
# Folders that tools write.
SKIPPED_FOLDERS = frozenset({"__pycache__", "__MACOSX", "node_modules"})
# Folders of a repository that hold no submission.
SUPPORT_FOLDERS = frozenset({"tests", "test", "docs", "doc", "data", "figures", "images"})
MAX_DEPTH = 32
MAX_FILES = 20_000
MAX_SOURCE_BYTES = 5_000_000
_KINDS = ((stat.S_ISFIFO, "a named pipe"), (stat.S_ISSOCK, "a socket"), (stat.S_ISCHR, "a device"))


class UnusableSubmissionError(Exception):
    """A submission cannot be graded; the message says why and what to do."""


def is_visible(name: str) -> bool:
    """Whether a file or folder is one that a student made."""
    return not name.startswith(".") and name not in SKIPPED_FOLDERS


def list_entries(folder: Path) -> list[Path]:
    """The visible entries of a folder, sorted by name."""
    return sorted((entry for entry in folder.iterdir() if is_visible(entry.name)), key=lambda entry: entry.name)


def list_files(folder: Path) -> list[Path]:
    """All regular files below a folder; links are left out, because they can point anywhere.

    Raises:
        UnusableSubmissionError: the folder is too deep or has too many files.
    """
    files: list[Path] = []
    levels = [(folder, 0)]
    while levels:
        level, depth = levels.pop()
        if depth > MAX_DEPTH:
            raise UnusableSubmissionError(f"its folders are nested deeper than {MAX_DEPTH} levels")
        for entry in list_entries(level):
            mode = entry.lstat().st_mode
            if stat.S_ISDIR(mode):
                levels.append((entry, depth + 1))
            elif stat.S_ISREG(mode):
                files.append(entry)
        if len(files) > MAX_FILES:
            raise UnusableSubmissionError(f"it has more than {MAX_FILES} files")
    return sorted(files)


def has_code_suffix(path: Path) -> bool:
    """Whether a file is Python code or a notebook, in upper or lower case."""
    return path.suffix.lower() in SUFFIXES


def require_regular_file(path: Path) -> None:
    """Check that a path is an ordinary file of a size that code can have.

    Raises:
        UnusableSubmissionError: it is not.
    """
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        raise UnusableSubmissionError(f"{path.name} is a link to {os.readlink(path)}; links are not followed")
    for is_kind, kind in _KINDS:
        if is_kind(status.st_mode):
            raise UnusableSubmissionError(f"{path.name} is {kind}, not a file")
    if has_code_suffix(path) and status.st_size > MAX_SOURCE_BYTES:
        size = f"{status.st_size / 1e6:,.0f} MB"
        raise UnusableSubmissionError(f"{path.name} has {size}; code can have {MAX_SOURCE_BYTES / 1e6:.0f} MB")


def read_start(path: Path, max_bytes: int = 4000) -> str:
    """The beginning of a text file; empty when it is not a regular file or cannot be read."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return ""  # opening a named pipe would wait for a writer
        with path.open("rb") as file:
            return file.read(max_bytes).decode("utf-8-sig", "replace")
    except OSError:
        return ""


def find_main_file(folder: Path) -> Path:
    """Find the file of a submission that is a folder: the only one, or the one with a usual name.

    Raises:
        UnusableSubmissionError: there is none, or there are several.
        OSError: the folder cannot be read.
    """
    level = folder
    for _ in range(MAX_DEPTH):
        entries = list_entries(level)
        _raise_for_damaged_code(entries)
        code = [entry for entry in entries if has_code_suffix(entry) and not entry.is_dir()]
        candidates = [entry for entry in code if not _is_support_file(entry)] or code
        chosen = _choose(candidates)
        if chosen is not None:
            require_regular_file(chosen)
            return chosen
        below = [entry for entry in entries if entry.is_dir() and not entry.is_symlink()]
        below = [entry for entry in below if entry.name.lower() not in SUPPORT_FOLDERS] or below
        if candidates or len(below) != 1:
            raise UnusableSubmissionError(_explain(candidates, entries))
        level = below[0]
    raise UnusableSubmissionError(f"its folders are nested deeper than {MAX_DEPTH} levels")


def _choose(candidates: list[Path]) -> Path | None:
    if len(candidates) == 1:
        return candidates[0]
    for name in USUAL_NAMES:
        usual = [entry for entry in candidates if entry.stem.lower() == name]
        if usual:
            # A notebook beside a file of the same name is a question.
            return usual[0] if len(usual) == 1 else None
    return None


def _is_support_file(path: Path) -> bool:
    return path.stem in {"conftest", "setup", "__init__"} or path.name.startswith("test_")


def _raise_for_damaged_code(entries: list[Path]) -> None:
    for entry in entries:
        inner = Path(entry.name.removesuffix(UNREADABLE_SUFFIX))
        if entry.suffix == UNREADABLE_SUFFIX and (has_code_suffix(inner) or inner.suffix.lower() == ARCHIVE_SUFFIX):
            raise UnusableSubmissionError(read_start(entry, 500) or f"{inner.name} cannot be read")


def _explain(candidates: list[Path], entries: list[Path]) -> str:
    if candidates:
        names = ", ".join(entry.name for entry in candidates[:8])
        more = f" and {len(candidates) - 8} more" if len(candidates) > 8 else ""
        return (
            f"which file is the submission: {names}{more}? Rename one to attention.py, or name it in a roster "
            "(--roster students.csv with the columns id and path)"
        )
    if not entries:
        return "the folder is empty"
    names = ", ".join(entry.name for entry in entries[:5])
    return f"there is no .py, .ipynb or .zip file in it (but {names})"
