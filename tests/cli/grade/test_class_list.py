"""The class list keeps ids as they are, and what is damaged counts as missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_attn_grader.cli.grade.class_list import CLASS_LIST_FILE, ClassList, read_class_list
from pytest_attn_grader.cli.grade.submissions import ClassSubmission


def test_what_is_written_is_read(tmp_path: Path) -> None:
    gone = ClassSubmission("s 17/ä", student="Ä", notes=("late",), problem="gone", file_stem="s_17")
    class_list = ClassList(3, (gone, ClassSubmission("bob", tmp_path / "bob.py", tmp_path, fingerprint="a b")))
    class_list.write(tmp_path)
    assert read_class_list(tmp_path) == class_list


def test_a_path_that_is_not_utf_8_is_escaped(tmp_path: Path) -> None:
    ClassList(3, (ClassSubmission("bob", tmp_path / "\udcff.py"),)).write(tmp_path)
    written = read_class_list(tmp_path)
    assert written is not None
    assert written.members[0].path == tmp_path / r"\udcff.py"


@pytest.mark.parametrize("text", [None, "", "{}", "[1]", '[{"id": "a"}]', '{"seed": 3, "members": [{}]}'])
def test_what_cannot_be_read_is_none(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / CLASS_LIST_FILE).write_text(text)
    assert read_class_list(tmp_path) is None
