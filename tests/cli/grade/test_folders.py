"""The file to grade in a folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_attn_grader.cli.grade.folders import (
    MAX_DEPTH,
    MAX_SOURCE_BYTES,
    UnusableSubmissionError,
    find_main_file,
    list_files,
    read_start,
    require_regular_file,
)


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x = 1\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["anything.py"], "anything.py"),
        (["HOMEWORK.PY"], "HOMEWORK.PY"),
        (["attention.py", "helpers.py"], "attention.py"),
        (["helpers.py", "test_it.py", "conftest.py"], "helpers.py"),
        (["lab3/work.ipynb", "__MACOSX/work.py", ".git/config.py"], "lab3/work.ipynb"),
        (["src/my_attention.py", "docs/conf.py", "README.md"], "src/my_attention.py"),
        (["test_only.py"], "test_only.py"),
    ],
)
def test_the_file_is_found(names: list[str], chosen: str, tmp_path: Path) -> None:
    assert find_main_file(fill(tmp_path, *names)).relative_to(tmp_path).as_posix() == chosen


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "the folder is empty"),
        (["essay.docx"], "no .py, .ipynb or .zip file in it .but essay.docx"),
        (["one.py", "two.py"], "which file is the submission: one.py, two.py"),
        (["attention.py", "attention.ipynb"], "which file is the submission"),
        (["a/one.py", "b/two.py"], "no .py, .ipynb or .zip file"),
    ],
)
def test_the_question_is_asked(names: list[str], words: str, tmp_path: Path) -> None:
    with pytest.raises(UnusableSubmissionError, match=words):
        find_main_file(fill(tmp_path, *names))


def test_depth_is_bounded(tmp_path: Path) -> None:
    fill(tmp_path, "/".join(["d"] * (MAX_DEPTH + 2)) + "/deep.py")
    with pytest.raises(UnusableSubmissionError, match=f"deeper than {MAX_DEPTH}"):
        find_main_file(tmp_path)
    with pytest.raises(UnusableSubmissionError, match=f"deeper than {MAX_DEPTH}"):
        list_files(tmp_path)


def test_only_an_ordinary_file_of_a_usual_size_is_code(tmp_path: Path) -> None:
    fill(tmp_path, "real.py")
    require_regular_file(tmp_path / "real.py")
    (tmp_path / "link.py").symlink_to("real.py")
    os.mkfifo(tmp_path / "pipe.py")
    with (tmp_path / "large.py").open("wb") as file:
        file.truncate(MAX_SOURCE_BYTES + 1)
    for name, words in (("link.py", "is a link to real.py"), ("pipe.py", "a named pipe"), ("large.py", "5 MB")):
        with pytest.raises(UnusableSubmissionError, match=words):
            require_regular_file(tmp_path / name)
    assert read_start(tmp_path / "pipe.py") == "", "opening it would wait for a writer"
    assert [file.name for file in list_files(tmp_path)] == ["large.py", "real.py"]
