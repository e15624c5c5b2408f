"""Submissions of several files, however they are laid out and named."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.submission.student import Student
from pytest_attn_grader.submission.target import find_target
from tests.support.students import CALL_SECONDS

FUNCTION = """
def attention(query, key, value, mask=None):
    scores = scaled(query @ key.mT, query)
    return scores.masked_fill(~mask, -1e9).softmax(-1) @ value
"""
HELPER = "def scaled(scores, query):\n    return scores / query.shape[-1] ** 0.5\n"
RELATIVE = "from .helpers import scaled\n" + FUNCTION
ABSOLUTE = "from hw.helpers import scaled\n" + FUNCTION
BESIDE = "from helpers import scaled\n" + FUNCTION
# what there is, from where it is graded, and what is typed
LAYOUTS: dict[str, tuple[dict[str, str], str]] = {
    "beside it": ({"hw/attention.py": BESIDE, "hw/helpers.py": HELPER}, "hw/attention.py"),
    "a package": ({"hw/__init__.py": "", "hw/attention.py": RELATIVE, "hw/helpers.py": HELPER}, "hw/attention.py"),
    "a package by name": ({"hw/__init__.py": "", "hw/attention.py": RELATIVE, "hw/helpers.py": HELPER}, "hw.attention"),
    "absolute imports": ({"hw/__init__.py": "", "hw/attention.py": ABSOLUTE, "hw/helpers.py": HELPER}, "hw.attention"),
    "no __init__.py, by name": ({"hw/attention.py": RELATIVE, "hw/helpers.py": HELPER}, "hw.attention"),
    "no __init__.py, by path": ({"hw/attention.py": RELATIVE, "hw/helpers.py": HELPER}, "hw/attention.py"),
    "from its __init__.py": (
        {"hw/__init__.py": "from .core import attention", "hw/core.py": RELATIVE, "hw/helpers.py": HELPER},
        "hw:attention",
    ),
    "two levels up": (
        {
            "hw/__init__.py": "",
            "hw/week3/__init__.py": "",
            "hw/week3/attention.py": RELATIVE.replace(".helpers", "..helpers"),
            "hw/helpers.py": HELPER,
        },
        "hw/week3/attention.py",
    ),
    "src by path": (
        {"src/hw/__init__.py": "", "src/hw/attention.py": ABSOLUTE, "src/hw/helpers.py": HELPER},
        "src/hw/attention.py",
    ),
    "src by name": (
        {"src/hw/__init__.py": "", "src/hw/attention.py": ABSOLUTE, "src/hw/helpers.py": HELPER},
        "src.hw.attention",
    ),
    "the project's folder by name": (
        {"hw/attention.py": "from tools.helpers import scaled\n" + FUNCTION, "tools/helpers.py": HELPER},
        "hw.attention",
    ),
}


@contextmanager
def student(folder: Path, files: dict[str, str], typed: str) -> Iterator[Student]:
    for name, source in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(source, encoding="utf-8")
    made = Student(find_target(typed, folder, search_path=[]), call_seconds=CALL_SECONDS, tier="auto")
    try:
        yield made
    finally:
        made.close()


# A worker each, which takes a second: the others are slow.
DEFAULT_LAYOUT = ("a package", "no __init__.py, by path", "src by name")


@pytest.mark.parametrize(
    "layout", [pytest.param(each, marks=() if each in DEFAULT_LAYOUT else pytest.mark.slow) for each in LAYOUTS]
)
def test_it_is_found_with_its_helpers(tmp_path: Path, layout: str) -> None:
    files, typed = LAYOUTS[layout]
    with student(tmp_path, files, typed) as made:
        assert made.contract.candidate.name == "attention"
        assert any(file.endswith("helpers.py") for file in made.description.files)
        before = made.info().sha256
        helper = next(name for name in files if name.endswith("helpers.py"))
        (tmp_path / helper).write_text(HELPER + "# changed\n", encoding="utf-8")
        assert made.info().sha256 != before


def test_a_module_of_ones_own_that_is_not_found(tmp_path: Path) -> None:
    source = "from tools.helpers import scaled\nattention = scaled(None)\n"
    with (
        student(tmp_path, {"hw/attention.py": source}, "hw/attention.py") as made,
        pytest.raises(SubmissionError) as caught,
    ):
        _ = made.description
    assert caught.value.message == "The submission imports 'tools', which is not installed here."
    assert "name the submission from your project's folder, as in --attn-student=package.module" in caught.value.remedy


def test_a_helper_that_is_not_there(tmp_path: Path) -> None:
    with (
        student(tmp_path, {"hw/attention.py": RELATIVE}, "hw/attention.py") as made,
        pytest.raises(SubmissionError, match="helpers") as caught,
    ):
        _ = made.description
    assert caught.value.name == "import-error"
