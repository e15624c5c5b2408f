"""The class list keeps ids as they are, and what is damaged counts as missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_attn_grader.cli.grade.class_list import CLASS_LIST_FILE, ClassMember, read_class_list, write_class_list
from pytest_attn_grader.cli.grade.submissions import ClassSubmission


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_class_list(
        tmp_path, [ClassSubmission("s 17/ä", student="Ä", notes=("late",), problem="gone", file_stem="s_17")]
    )
    assert read_class_list(tmp_path) == [ClassMember("s 17/ä", "s_17", "Ä", ("late",), "gone")]


@pytest.mark.parametrize("text", [None, "", "{}", "[1]", '[{"id": "a"}]'])
def test_what_cannot_be_read_is_none(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / CLASS_LIST_FILE).write_text(text)
    assert read_class_list(tmp_path) in (None, [])
