"""Find the submissions of a class: files, folders, globs, zip files, exports and rosters.

Everything in a class folder becomes a submission, or is listed with the reason why it cannot be graded.
"""

from __future__ import annotations

import ast
import glob
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from pytest_attn_grader.cli.grade.archives import unpack
from pytest_attn_grader.cli.grade.folders import (
    ARCHIVE_SUFFIX,
    MAX_SOURCE_BYTES,
    UNREADABLE_SUFFIX,
    UnusableSubmissionError,
    find_main_file,
    has_code_suffix,
    list_entries,
    read_start,
    require_regular_file,
)
from pytest_attn_grader.cli.grade.identifiers import (
    assign_file_stems,
    make_file_stem,
    make_ids_unique,
    natural_key,
    readable_text,
)
from pytest_attn_grader.cli.grade.lms_exports import HandIn, find_own_file, recognize_export
from pytest_attn_grader.cli.grade.roster import RosterLine, match_roster, read_roster
from pytest_attn_grader.cli.grade.submissions import ClassSubmission, describe_error
from pytest_attn_grader.errors import UsageError

# Files of a class folder that are not submissions: of instructors, of exports and of systems.
_IGNORED_NAMES = re.compile(
    r"readme.*|license.*|index\.html|requirements.*\.txt|(?:conftest|__init__|setup)\.py|thumbs\.db|desktop\.ini|makefile",
    re.IGNORECASE,
)
_IGNORED_SUFFIXES = frozenset({".csv", ".yml", ".yaml", ".toml", ".ini", ".cfg", ".md", ".json", ".log", ".pyc", ".sh"})
_MAX_COPIED_BYTES = 64 * 1024 * 1024
_ONLINE_TEXT = re.compile(r"(?:online)?text\.html", re.IGNORECASE)


def find_submissions(
    sources: Sequence[str], *, roster: Path | None = None, name: str | None = None, unpack_into: Path
) -> list[ClassSubmission]:
    """Everything that is to be graded, in natural order of the ids, each with a file stem.

    A folder with files of code is a class of single files; a folder of folders is a class of folders. In a folder that
    is one submission the file to grade is the only one, or the one with a usual name.

    Args:
        sources: files, folders, globs and zip files as typed.
        roster: a CSV file with a column of ids and, when wanted, paths (relative to the roster), names and functions.
        name: the function or class to grade in every submission; a roster may name others.
        unpack_into: zip files are unpacked below this folder, and files of exports are copied there.
    """
    finder = _Finder(unpack_into)
    found = _without_repeats(finder.read_sources(_expand(sources)))
    if roster is not None:
        found = _apply_roster(read_roster(roster), found, roster, finder)
    if not found:
        raise UsageError(
            f"{' '.join(sources)}: no submission there. Name .py or .ipynb files, or folders that hold some."
        )
    found = make_ids_unique(found)
    if name is not None:
        found = [each if each.name else replace(each, name=name) for each in found]
    return assign_file_stems(sorted(found, key=lambda each: natural_key(each.id)))


def _expand(sources: Sequence[str]) -> list[Path]:
    """The paths of the sources; all that do not exist are named at once."""
    paths: list[Path] = []
    missing = []
    for source in sources:
        matches = [source] if Path(source).exists() else sorted(glob.glob(source, recursive=True))
        paths += [Path(match).absolute() for match in matches]
        if not matches:
            missing.append(source)
    if missing:
        raise UsageError(
            f"{', '.join(missing)}: no such file or folder, and nothing matches it as a pattern. Nothing was graded."
        )
    return list(dict.fromkeys(paths))


class _Finder:
    """Reads sources; unpacks zip files into numbered folders."""

    def __init__(self, unpack_into: Path) -> None:
        self._unpack_into = unpack_into
        self._taken: Counter[str] = Counter()

    def read_sources(self, paths: Sequence[Path]) -> Iterator[ClassSubmission]:
        """The submissions of all sources. Several folders side by side, each with one submission, are a class."""
        if _are_submissions([path for path in paths if path.is_dir()]):
            for path in paths:
                yield self._read_entry(path)
        else:
            for path in paths:
                yield from self.read_source(path)

    def read_source(self, path: Path) -> Iterator[ClassSubmission]:
        """The submissions of one source: a class folder, a class zip or a file."""
        if path.is_dir():
            yield from self._read_class(path.resolve())
        elif path.suffix.lower() == ARCHIVE_SUFFIX:
            try:
                yield from self._read_class(_without_wrapping(self._unpack(path)))
            except UnusableSubmissionError as error:
                yield ClassSubmission(readable_text(path.stem), problem=str(error))
        elif has_code_suffix(path):
            yield self.read_file(path, readable_text(path.stem))
        else:
            raise UsageError(f"{path} is not a submission: it is neither .py, .ipynb, .zip nor a folder.")

    def _read_class(self, folder: Path) -> Iterator[ClassSubmission]:
        export = recognize_export(folder)
        if export is None:
            entries = list_entries(folder)
            if len(entries) == 1 and entries[0].is_dir() and not entries[0].is_symlink():
                export = recognize_export(entries[0])
        if export is not None:
            for hand_in in export.hand_ins:
                yield self._read_hand_in(hand_in)
        for entry in list_entries(folder) if export is None else export.others:
            if not _is_ignored(entry):
                yield self._read_entry(entry)

    def _read_entry(self, entry: Path) -> ClassSubmission:
        """A submission from one entry of a class folder."""
        name = readable_text(entry.name)
        if entry.suffix == UNREADABLE_SUFFIX:
            inner = name.removesuffix(UNREADABLE_SUFFIX)
            return ClassSubmission(Path(inner).stem, problem=read_start(entry, 500) or f"{inner} cannot be read")
        if entry.is_dir() and not entry.is_symlink():
            return self.read_folder(entry, name)
        return self.read_file(entry, name.rpartition(".")[0] or name)

    def read_file(self, path: Path, identity: str) -> ClassSubmission:
        """A submission that is one file: code, or a zip with a student's folder."""
        try:
            require_regular_file(path)
            if path.suffix.lower() == ARCHIVE_SUFFIX:
                return self.read_folder(self._unpack(path), identity)
            if not has_code_suffix(path):
                raise UnusableSubmissionError(f"{readable_text(path.name)} is not a .py, .ipynb or .zip file")
            return ClassSubmission(identity, path, path)
        except (UnusableSubmissionError, OSError) as error:
            return ClassSubmission(identity, problem=describe_error(error))

    def read_folder(self, folder: Path, identity: str) -> ClassSubmission:
        """A submission that is a folder; a zip in it is unpacked when there is no code beside it."""
        try:
            try:
                return ClassSubmission(identity, find_own_file(folder), folder)
            except UnusableSubmissionError:
                archives = [each for each in list_entries(folder) if each.suffix.lower() == ARCHIVE_SUFFIX]
                if len(archives) != 1 or any(has_code_suffix(each) for each in list_entries(folder)):
                    raise
                require_regular_file(archives[0])
                unpacked = self._unpack(archives[0])
                return ClassSubmission(identity, find_main_file(unpacked), unpacked)
        except (UnusableSubmissionError, OSError) as error:
            return ClassSubmission(identity, problem=describe_error(error))

    def _read_hand_in(self, hand_in: HandIn) -> ClassSubmission:
        identity = readable_text(hand_in.id)
        if hand_in.folder is not None:
            found = self.read_folder(hand_in.folder, identity)
        else:
            try:
                found = self.read_folder(self._collect(hand_in, identity), identity)
                found = replace(found, export=hand_in.files[0][0].parent if hand_in.files else None)
            except (UnusableSubmissionError, OSError) as error:
                found = ClassSubmission(identity, problem=describe_error(error))
            if found.problem and all(_ONLINE_TEXT.search(original) for _, original in hand_in.files):
                found = replace(found, problem="online text, without a file of code" if hand_in.files else "no file")
        aliases = tuple(readable_text(alias) for alias in hand_in.aliases if alias)
        return replace(found, student=readable_text(hand_in.student), aliases=aliases, notes=tuple(hand_in.notes))

    def _collect(self, hand_in: HandIn, identity: str) -> Path:
        """Copy a student's files into one folder, under their original names, so that they can import each other."""
        folder = self._make_folder(f"files-{make_file_stem(identity)}")
        for path, original in hand_in.files:
            require_regular_file(path)
            if path.stat().st_size > _MAX_COPIED_BYTES:
                raise UnusableSubmissionError(f"{original} is larger than {_MAX_COPIED_BYTES >> 20} MB")
            shutil.copyfile(path, folder / original)
        return folder

    def _unpack(self, archive: Path) -> Path:
        folder = self._make_folder(make_file_stem(readable_text(archive.stem)))
        unpack(archive, folder)
        return folder

    def _make_folder(self, name: str) -> Path:
        """An empty folder; archives of the same name get numbers."""
        self._taken[name.casefold()] += 1
        number = self._taken[name.casefold()]
        folder = self._unpack_into / (name if number == 1 else f"{name}~{number}")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder


def _are_submissions(folders: Sequence[Path]) -> bool:
    """Whether these folders are submissions of one class, as `week3/*` names them, and not classes."""
    if len(folders) < 2 or len({folder.parent for folder in folders}) > 1:
        return False

    def is_submission(folder: Path) -> bool:
        try:
            return (folder / ".git").exists() or find_main_file(folder).parent == folder
        except UnusableSubmissionError:
            return not any(each.is_dir() or has_code_suffix(each) for each in list_entries(folder))
        except OSError:
            return True

    return 2 * sum(folder.is_symlink() or is_submission(folder) for folder in folders) > len(folders)


def _is_ignored(entry: Path) -> bool:
    if entry.is_dir():
        return False
    return bool(_IGNORED_NAMES.fullmatch(entry.name)) or entry.suffix.lower() in _IGNORED_SUFFIXES


def _without_wrapping(folder: Path) -> Path:
    """The folder that a zip wraps around a class, or the unpacked folder itself."""
    entries = list_entries(folder)
    if recognize_export(folder) is None and len(entries) == 1 and entries[0].is_dir():
        return entries[0]
    return folder


def _without_repeats(found: Iterable[ClassSubmission]) -> list[ClassSubmission]:
    """Drop a submission that another source has named already."""
    kept: dict[object, ClassSubmission] = {}
    for number, each in enumerate(found):
        kept.setdefault(number if each.path is None else (each.id, each.path), each)
    return list(kept.values())


def _apply_roster(
    lines: Sequence[RosterLine], found: Sequence[ClassSubmission], roster: Path, finder: _Finder
) -> list[ClassSubmission]:
    """Read the submissions that a roster names by path, and match its other lines with those that were found."""
    named = [_read_line(line, roster, finder) for line in lines if line.path]
    paths = {each.path for each in named} - {None}
    others = [each for each in found if each.path not in paths]
    return named + match_roster([line for line in lines if not line.path], others)


def _read_line(line: RosterLine, roster: Path, finder: _Finder) -> ClassSubmission:
    identity, where = line.id or Path(line.path).stem, f"line {line.number} of the roster"
    path = roster.absolute().parent / line.path.replace("\\", "/")
    if not line.id:
        return ClassSubmission(identity, problem=f"{where} has a path and no id")
    if not path.exists():
        return ClassSubmission(identity, student=line.student, problem=f"{where}: there is no {path}")
    found = finder.read_folder(path, identity) if path.is_dir() else finder.read_file(path.resolve(), identity)
    function = line.function
    if not function and found.path is not None and _defines(found.path, line.student):
        # The column `name` may also hold the function's name.
        return replace(found, name=line.student)
    return replace(found, student=line.student, name=function or None)


def _defines(path: Path, name: str) -> bool:
    """Whether a file defines a function or class of this name."""
    if not name.isidentifier() or path.suffix.lower() != ".py":
        return False
    try:
        tree = ast.parse(read_start(path, MAX_SOURCE_BYTES))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return any(isinstance(node, kinds) and node.name == name for node in tree.body)
