"""Find the source that a report is about, without importing or running any of it.

A report holds no source, only its name, the helpers it imported and a hash over all of them. The hash decides whether
what lies there now is what was graded: somebody else's work, or a later version, is not shown to the model as this one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pytest_attn_grader.errors import UsageError
from pytest_attn_grader.results.assessment import AssessedSource
from pytest_attn_grader.results.submission import StudentInfo
from pytest_attn_grader.submission.target import SOURCE_SUFFIXES, Target, find_target, hash_contents, read_sources

# Helpers are reported by the submission's own process, and there may be thousands.
MOST_FILES = 32
_ANOTHER = "--source is not the source that was graded; the model saw it all the same"
_EMPTY = "the source is empty or too large to be read, so the model did not see it"


@dataclass(frozen=True)
class Source:
    """Source that was read.

    Attributes:
        files: suffix and bytes of each, the one that was graded first; names tell who wrote them and are left out.
        sha256: over all of them, as in the report.
        matches_report: whether it is the very source that was graded.
    """

    files: tuple[tuple[str, bytes], ...]
    sha256: str
    matches_report: bool

    @property
    def is_empty(self) -> bool:
        return not self.files[0][1]

    def as_shown(self, characters: int, shown: int) -> AssessedSource:
        """What the assessment keeps of it."""
        return AssessedSource(
            sha256=self.sha256,
            matches_report=self.matches_report,
            files=len(self.files),
            characters=characters,
            characters_shown=shown,
        )


def find_source(student: StudentInfo, report: Path, named: Path | None) -> tuple[Source | None, str]:
    """The source of a report, and one line when there is none or it is not the one that was graded.

    Args:
        named: what `--source` names: the file itself, or a folder below which the submission is to be found; None
            looks where the report says, seen from the current folder and from the report's.

    Raises:
        UsageError: `named` does not exist, or is a file that is no source.
    """
    if named is not None and not named.exists():
        raise UsageError(f"--source={named} does not exist. Name the submission's file, or the folder it is in.")
    if named is not None and not named.is_dir():
        source = _read(find_target(str(named.resolve()), Path.cwd()), student)
        if source.is_empty:
            return None, _EMPTY
        note = "" if source.matches_report else _ANOTHER
        return source, note
    # An absolute path is the same seen from anywhere.
    folders = dict.fromkeys([Path.cwd(), report.resolve().parent])
    found = list(_targets_below(named, student) if named is not None else _targets_as_typed(folders, student))
    for target in found:
        source = _read(target, student)
        if source.matches_report:
            return (None, _EMPTY) if source.is_empty else (source, "")
    if found:
        return None, "the source has changed since it was graded, so the model did not see it (--source FILE shows it)"
    return None, "the source is not where the report says, so the model did not see it (--source names its place)"


def _targets_as_typed(folders: dict[Path, None], student: StudentInfo) -> Iterator[Target]:
    for folder in folders:
        yield from _target(student.target, folder)


def _targets_below(folder: Path, student: StudentInfo) -> Iterator[Target]:
    """The submission's place below a folder that may be a copy: with all of its path, then with ever less of it."""
    place, name = _place_and_name(student.target)
    parts = [part for part in PurePosixPath(place).parts if part not in {"/", ".."} and not part.endswith(":")]
    for first in range(len(parts)):
        yield from _target(f"./{'/'.join(parts[first:])}{name}", folder.resolve())
    if "/" not in place:
        yield from _target(student.target, folder.resolve())  # package.module


def _place_and_name(typed: str) -> tuple[str, str]:
    typed = typed.replace("\\", "/")
    place, colon, name = typed.rpartition(":")
    return (place, f":{name}") if colon and "/" not in name else (typed, "")


def _target(typed: str, folder: Path) -> Iterator[Target]:
    try:
        # No search path: a module that is installed here is not what somebody handed in there.
        yield find_target(typed, folder, search_path=())
    except (UsageError, ValueError, RuntimeError):
        # It is not there, or no path at all (a null character, a link that leads to itself).
        return


def _read(target: Target, student: StudentInfo) -> Source:
    contents = read_sources(target, student.files)
    sha256 = hash_contents(target, contents)
    # Only code is shown: what else a submission says it has imported may be anything that lies beside it.
    shown = [path for path in contents if path == target.path or path.suffix in SOURCE_SUFFIXES]
    files = tuple((path.suffix, contents[path]) for path in shown[:MOST_FILES])
    return Source(files, sha256, sha256 == student.sha256)
