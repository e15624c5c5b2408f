"""Find the source of a report's submission, without importing or running it.

A report has the path, the imported helpers and a hash over all of them. A source with another hash is another person's
work or a later version, and is not sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pytest_attn_grader.errors import UsageError
from pytest_attn_grader.results.assessment import AssessedSource
from pytest_attn_grader.results.submission import StudentInfo
from pytest_attn_grader.submission.target import SOURCE_SUFFIXES, Target, find_target, hash_contents, read_sources

# The submission's own process reports the helpers, so there may be thousands.
MAX_FILES = 32
_OTHER_SOURCE = "--source differs from the graded source; it was sent anyway"
_EMPTY = "the source is empty or too large to be read, so it was not sent"


@dataclass(frozen=True)
class Source:
    """The files of a submission as they are now.

    Attributes:
        files: suffix and bytes of each, the graded file first; without names, which may identify the author.
    """

    files: tuple[tuple[str, bytes], ...]
    sha256: str
    matches_report: bool

    @property
    def is_empty(self) -> bool:
        return not self.files[0][1]

    def as_assessed(self, characters: int, shown: int) -> AssessedSource:
        """The part of it that the assessment stores."""
        return AssessedSource(
            sha256=self.sha256,
            matches_report=self.matches_report,
            files=len(self.files),
            characters=characters,
            characters_shown=shown,
        )


def find_source(student: StudentInfo, report: Path, named: Path | None) -> tuple[Source | None, str]:
    """Find the source of a report; a note says when there is none or when it has changed.

    Args:
        named: the value of `--source`: the file, or a folder above it; None uses the path in the report, relative to
            the current folder and to the report's.
    """
    if named is not None and not named.exists():
        raise UsageError(f"--source={named} does not exist. Name the submission's file, or the folder it is in.")
    if named is not None and not named.is_dir():
        source = _read(find_target(str(named.resolve()), Path.cwd()), student)
        if source.is_empty:
            return None, _EMPTY
        note = "" if source.matches_report else _OTHER_SOURCE
        return source, note
    # Both, because a relative path may start at either.
    folders = dict.fromkeys([Path.cwd(), report.resolve().parent])
    as_typed = (target for folder in folders for target in _target(student.target, folder))
    found = list(as_typed if named is None else _targets_below(named, student))
    for target in found:
        source = _read(target, student)
        if source.matches_report:
            return (None, _EMPTY) if source.is_empty else (source, "")
    if found:
        return None, "the source has changed since it was graded, so it was not sent (--source FILE sends it)"
    return None, "the source is not at the path in the report, so it was not sent (--source PATH names it)"


def _targets_below(folder: Path, student: StudentInfo) -> Iterator[Target]:
    """Candidates below a folder: the report's whole path, then without its first parts one by one."""
    place, name = _split_name(student.target)
    parts = [part for part in PurePosixPath(place).parts if part not in {"/", ".."} and not part.endswith(":")]
    for first in range(len(parts)):
        yield from _target(f"./{'/'.join(parts[first:])}{name}", folder.resolve())
    if "/" not in place:
        yield from _target(student.target, folder.resolve())  # package.module


def _split_name(typed: str) -> tuple[str, str]:
    typed = typed.replace("\\", "/")
    place, colon, name = typed.rpartition(":")
    return (place, f":{name}") if colon and "/" not in name else (typed, "")


def _target(typed: str, folder: Path) -> Iterator[Target]:
    try:
        # No search path: an installed module of the same name is not the submission.
        yield find_target(typed, folder, search_path=())
    except (UsageError, ValueError, RuntimeError):
        # It does not exist, or is not a valid path (a null character, a link to itself).
        return


def _read(target: Target, student: StudentInfo) -> Source:
    contents = read_sources(target, student.files)
    sha256 = hash_contents(target, contents)
    # Only code: a submission may report any file beside it as imported.
    shown = [path for path in contents if path == target.path or path.suffix in SOURCE_SUFFIXES]
    files = tuple((path.suffix, contents[path]) for path in shown[:MAX_FILES])
    return Source(files, sha256, sha256 == student.sha256)
