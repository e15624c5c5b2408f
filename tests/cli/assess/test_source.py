from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from pytest_attn_grader.cli.assess.source import MAX_FILES, find_source
from pytest_attn_grader.errors import UsageError
from pytest_attn_grader.results.submission import StudentInfo

EXPLODES = "raise SystemExit('the submission was run')\n"


def sha256_of(**files: str) -> str:
    named = {name.replace("__", "/") + ".py": text for name, text in files.items()}
    return hashlib.sha256(b"".join(f"{name}\0{named[name]}\0".encode() for name in sorted(named))).hexdigest()


@pytest.fixture
def student(empty_folder: Path) -> StudentInfo:
    """`week3/mine.py` with a helper, below the folder one stands in."""
    (empty_folder / "week3").mkdir()
    (empty_folder / "week3" / "mine.py").write_text(EXPLODES)
    (empty_folder / "week3" / "parts.py").write_text("x = 1\n")
    sha256 = sha256_of(mine=EXPLODES, parts="x = 1\n")
    return StudentInfo(target="week3/mine.py", files=("mine.py", "parts.py"), sha256=sha256)


def find(student: StudentInfo, named: str | Path | None = None, report: str = "report.json", **changed: Any) -> Any:
    return find_source(student.model_copy(update=changed), Path(report), None if named is None else Path(named))


def assert_found(found: Any) -> None:
    source, note = found
    assert note == ""
    assert source.files == ((".py", EXPLODES.encode()), (".py", b"x = 1\n"))
    assert source.matches_report


@pytest.mark.parametrize("target", ["week3/mine.py", "./week3/mine.py:attention", "week3.mine", "week3.mine:attention"])
def test_where_the_report_says(target: str, student: StudentInfo) -> None:
    sha256 = student.sha256 if "/" in target else sha256_of(week3__mine=EXPLODES, week3__parts="x = 1\n")
    files = student.files if "/" in target else ("week3/mine.py", "week3/parts.py")
    assert_found(find(student, target=target, sha256=sha256, files=files))


def test_seen_from_the_report_s_folder(
    student: StudentInfo, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = Path("report.json").resolve()
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert_found(find(student, report=str(report)))
    assert find(student)[0] is None


def test_an_absolute_path(student: StudentInfo) -> None:
    assert_found(find(student, target=str(Path("week3/mine.py").resolve())))


@pytest.mark.parametrize(
    "target",
    ["/gone/week3/mine.py", "/gone/week3/mine.py:attention", "week3/mine.py", r"C:\gone\week3\mine.py", "mine"],
)
def test_below_a_folder_that_is_named(target: str, student: StudentInfo) -> None:
    Path("week3").rename("moved")
    assert_found(find(student, named="moved", target=target))


def test_a_file_that_is_named(student: StudentInfo) -> None:
    Path("week3").rename("moved")
    assert find(student)[0] is None
    assert_found(find(student, named="moved/mine.py"))


def test_what_is_not_there(student: StudentInfo) -> None:
    source, note = find(student, target="week4/mine.py")
    assert (source, note) == (
        None,
        "the source is not at the path in the report, so it was not sent (--source PATH names it)",
    )


@pytest.mark.parametrize(
    "target", ["\0", "x" * 5000, "../" * 3000, "", ":", "week3", "json", "a\nb.py", "~nobody/x.py"]
)
def test_a_target_that_is_none(target: str, student: StudentInfo) -> None:
    assert find(student, target=target)[0] is None
    assert find(student, target=target, named="week3")[0] is None


def test_what_has_changed_is_not_shown_unless_it_is_named(student: StudentInfo) -> None:
    Path("week3/parts.py").write_text("x = 2\n")
    source, note = find(student)
    assert source is None
    assert note.startswith("the source has changed since it was graded")
    assert find(student, named="week3") == (source, note)
    source, note = find(student, named="week3/mine.py")
    assert (source.matches_report, source.files[1]) == (False, (".py", b"x = 2\n"))
    assert note == "--source differs from the graded source; it was sent anyway"


def test_somebody_else_s_file_of_the_same_name_is_not_taken(student: StudentInfo) -> None:
    Path("class/ann").mkdir(parents=True)
    Path("class/bob").mkdir()
    Path("class/ann/mine.py").write_text("a = 1\n")
    Path("class/bob/mine.py").write_text("b = 1\n")
    about_bob = {"target": "/gone/bob/mine.py", "files": (), "sha256": sha256_of(mine="b = 1\n")}
    assert find(student, named="class", **about_bob)[0].files == ((".py", b"b = 1\n"),)
    assert find(student, named="class/ann", **about_bob)[0] is None


def test_a_named_place_that_cannot_be_used(student: StudentInfo) -> None:
    with pytest.raises(UsageError, match="--source=gone does not exist"):
        find(student, named="gone")
    Path("notes.txt").write_text("x")
    with pytest.raises(UsageError, match="not a Python file"):
        find(student, named="notes.txt")


def test_files_are_code_from_below_the_submission_and_not_too_many(student: StudentInfo) -> None:
    """The list comes from the submission's own process."""
    Path("secret.py").write_text("key = 1\n")
    Path("week3/grades.json").write_text("{}")
    many = [f"many{number}" for number in range(MAX_FILES + 8)]
    for name in many:
        Path(f"week3/{name}.py").write_text("m\n")
    reported = ("../secret.py", "/etc/passwd", "grades.json", "\0", *(f"{name}.py" for name in many))
    source, _ = find(student, named="week3/mine.py", files=reported)
    assert len(source.files) == MAX_FILES
    assert {content for _, content in source.files} == {EXPLODES.encode(), b"m\n"}


def test_an_empty_or_huge_file_is_said(student: StudentInfo) -> None:
    Path("week3/mine.py").write_bytes(b"\n" * 5_000_001)
    note = "the source is empty or too large to be read, so it was not sent"
    assert find(student, named="week3/mine.py") == (None, note)
    assert find(student, files=(), sha256=sha256_of(mine="")) == (None, note)
