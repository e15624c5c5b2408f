"""A submission of a class: its id, its files, and the reason when it cannot be graded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from pytest_attn_grader.cli.grade.folders import UnusableSubmissionError, list_files

# A larger file is data, not code: its size and time decide whether it has changed.
MAX_HASHED_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class ClassSubmission:
    """One student's work.

    Attributes:
        id: as in the roster or the export; unique in a class, any text.
        path: the file to grade; None when there is a `problem`.
        folder: the folder that belongs to the submission, or the file itself.
        name: the function or class to grade, when it was chosen.
        aliases: further names of the student that a roster may contain.
        notes: facts that an instructor should see in the gradebook.
        file_stem: name of its report, page and log, without suffix; unique in a class.
        export: the export whose files were copied into the folder; None when they are where they were found.
        fingerprint: hash of its files and of the settings that it is graded with.
    """

    id: str
    path: Path | None = None
    folder: Path | None = None
    name: str | None = None
    student: str = ""
    aliases: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    problem: str = ""
    file_stem: str = ""
    export: Path | None = None
    fingerprint: str = ""

    @property
    def target(self) -> str:
        """The value of `--attn-student`."""
        return str(self.path) if self.name is None else f"{self.path}:{self.name}"

    def hash_content(self) -> str:
        """Hash all files of the submission: it is graded again when they change.

        Raises:
            UnusableSubmissionError, OSError: the files cannot be read.
        """
        assert self.path is not None
        assert self.folder is not None
        files = [self.path] if self.folder == self.path else list_files(self.folder)
        digest = hashlib.sha256(repr((self.path.name, self.name)).encode())
        for file in files:
            digest.update(repr(file.relative_to(self.folder.parent).as_posix()).encode())
            status = file.stat()
            if status.st_size > MAX_HASHED_BYTES:
                digest.update(f"{status.st_size} {status.st_mtime_ns}".encode())
            else:
                digest.update(hashlib.sha256(file.read_bytes()).digest())
        return digest.hexdigest()


def describe_error(error: Exception) -> str:
    """One line that says why files cannot be read."""
    if isinstance(error, UnusableSubmissionError) or not isinstance(error, OSError):
        return str(error)
    return f"it cannot be read ({error.strerror or error})"
