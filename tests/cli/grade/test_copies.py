"""Submissions whose names the grader cannot take are copied under plain names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_attn_grader.cli.grade import copies
from pytest_attn_grader.cli.grade.copies import copy_to_own_folder, needs_copy
from pytest_attn_grader.cli.grade.folders import UnusableSubmissionError
from pytest_attn_grader.cli.grade.submissions import ClassSubmission


@pytest.mark.parametrize(
    ("name", "needed"),
    [
        (b"attention.py", False),
        (b"My attention (2).ipynb", False),
        ("Übung.py".encode(), False),
        (b"ATTENTION.PY", True),
        (b"week3:final.py", True),
        (b"a\nb.py", True),
        (b"\xe9.py", True),
    ],
)
def test_what_needs_a_copy(name: bytes, needed: bool, tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    path.write_text("x = 1")
    submission = ClassSubmission("ann", path, path, file_stem="ann")
    assert needs_copy(submission) == needed
    copied = copy_to_own_folder(submission, tmp_path / "copies")
    assert not needs_copy(copied)
    assert copied.path is not None
    assert copied.path.read_text() == "x = 1"


def test_helpers_are_copied_with_the_file(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xe9a"))
    (folder / "pkg").mkdir(parents=True)
    (folder / "attention.py").write_text("import pkg.x")
    (folder / "pkg" / "x.py").write_text("x = 1")
    copied = copy_to_own_folder(
        ClassSubmission("b", folder / "attention.py", folder, file_stem="b"), tmp_path / "copies"
    )
    assert copied.folder == tmp_path / "copies" / "b"
    assert (copied.folder / "pkg" / "x.py").is_file()


def test_an_older_copy_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "copies" / "ann").mkdir(parents=True)
    (tmp_path / "copies" / "ann" / "old.py").write_text("x = 1")
    (tmp_path / "ann.py").write_text("x = 1")
    copy_to_own_folder(
        ClassSubmission("ann", tmp_path / "ann.py", tmp_path / "ann.py", file_stem="ann"), tmp_path / "copies"
    )
    assert [each.name for each in (tmp_path / "copies" / "ann").iterdir()] == ["ann.py"]


def test_a_submission_that_is_too_large_is_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "MAX_COPIED_BYTES", 3)
    (tmp_path / "ann.py").write_text("x = 1")
    submission = ClassSubmission("ann", tmp_path / "ann.py", tmp_path / "ann.py", file_stem="ann")
    with pytest.raises(UnusableSubmissionError, match="larger than"):
        copy_to_own_folder(submission, tmp_path / "copies")
