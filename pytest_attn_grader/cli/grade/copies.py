"""Copies of submissions that cannot be graded where they are."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

from pytest_attn_grader.cli.grade.folders import UnusableSubmissionError, list_files
from pytest_attn_grader.cli.grade.identifiers import readable_text
from pytest_attn_grader.cli.grade.submissions import ClassSubmission

MAX_COPIED_BYTES = 256 * 1024 * 1024
# Names that `--attn-student` takes as they are.
_PLAIN_NAME = re.compile(r"[\w .()+@,'-]+\.(?:py|ipynb)")
_ODD = re.compile(r"[^\w .()+@,'-]+")


def needs_copy(submission: ClassSubmission) -> bool:
    """Whether a name on the way to the file is not UTF-8, has control characters, or a suffix in upper case."""
    assert submission.path is not None
    # Bytes that are not UTF-8 are lone surrogates, which are not printable either.
    return not (_PLAIN_NAME.fullmatch(submission.path.name) and str(submission.path).isprintable())


def copy_to_own_folder(submission: ClassSubmission, copies: Path) -> ClassSubmission:
    """Copy a submission below `copies`, under a plain name.

    A file in one folder with other students' files is copied for another reason: a submission can read its folder.

    Raises:
        UnusableSubmissionError: the submission is too large to copy.
        OSError: it cannot be copied.
    """
    assert submission.path is not None
    assert submission.folder is not None
    assert submission.file_stem, "without its name, all other copies would be removed"
    folder = copies / submission.file_stem
    shutil.rmtree(folder, ignore_errors=True)
    alone = submission.folder == submission.path
    files = [submission.path] if alone else list_files(submission.folder)
    if sum(file.stat().st_size for file in files) > MAX_COPIED_BYTES:
        raise UnusableSubmissionError(f"it is larger than {MAX_COPIED_BYTES >> 20} MB, and has names that need a copy")
    top = submission.path.parent if alone else submission.folder
    for file in files:
        target = folder.joinpath(*map(_plain_name, file.relative_to(top).parts))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    path = folder.joinpath(*map(_plain_name, submission.path.relative_to(top).parts))
    return replace(submission, path=path, folder=path if alone else folder)


def _plain_name(name: str) -> str:
    stem, dot, suffix = readable_text(name).rpartition(".")
    known = suffix.lower() in {"py", "ipynb"}
    return f"{_ODD.sub('_', stem)}.{suffix.lower()}" if dot and known else _ODD.sub("_", readable_text(name))
