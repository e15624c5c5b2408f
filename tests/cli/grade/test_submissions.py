"""A submission's files and their hash."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_attn_grader.cli.grade.folders import UnusableSubmissionError
from pytest_attn_grader.cli.grade.submissions import ClassSubmission, describe_error


@pytest.fixture
def submission(tmp_path: Path) -> ClassSubmission:
    folder = tmp_path / "ann"
    folder.mkdir()
    for name in ("attention.py", "helpers.py"):
        (folder / name).write_text(name)
    return ClassSubmission("ann", folder / "attention.py", folder)


def test_the_target_names_the_function(submission: ClassSubmission) -> None:
    assert submission.target.endswith("ann/attention.py")
    assert ClassSubmission("ann", Path("a.py"), Path("a.py"), "attend").target == "a.py:attend"


def test_the_hash_changes_with_every_file_of_the_submission(submission: ClassSubmission, tmp_path: Path) -> None:
    before = submission.hash_content()
    assert submission.hash_content() == before
    (tmp_path / "ann" / "helpers.py").write_text("changed")
    assert submission.hash_content() != before


def test_a_large_file_is_not_read(submission: ClassSubmission, tmp_path: Path) -> None:
    with (tmp_path / "ann" / "weights.bin").open("wb") as file:
        file.truncate(100 * 10**9)
    before = submission.hash_content()
    os.utime(tmp_path / "ann" / "weights.bin", (1, 1))
    assert submission.hash_content() != before


def test_links_and_pipes_are_not_read(submission: ClassSubmission, tmp_path: Path) -> None:
    before = submission.hash_content()
    os.mkfifo(tmp_path / "ann" / "pipe.py")
    (tmp_path / "ann" / "link.py").symlink_to("/dev/zero")
    assert submission.hash_content() == before


def test_folders_nested_too_deep(submission: ClassSubmission, tmp_path: Path) -> None:
    deep = tmp_path / "ann"
    for _ in range(40):
        deep = deep / "d"
    deep.mkdir(parents=True)
    with pytest.raises(UnusableSubmissionError, match="nested deeper than 32"):
        submission.hash_content()


def test_an_error_is_described_without_a_path() -> None:
    assert (
        describe_error(PermissionError(13, "Permission denied", "/secret")) == "it cannot be read (Permission denied)"
    )
    assert describe_error(UnusableSubmissionError("too deep")) == "too deep"
