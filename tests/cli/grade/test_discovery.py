"""Everything in a class folder is found, or listed with the reason why it cannot be graded."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_attn_grader.cli.grade import archives
from pytest_attn_grader.cli.grade.discovery import find_submissions
from pytest_attn_grader.cli.grade.submissions import ClassSubmission
from pytest_attn_grader.errors import UsageError

Find = Callable[..., list[ClassSubmission]]


@pytest.fixture
def find(tmp_path: Path) -> Find:
    """`find("a.py", ..., roster=None)` with names below `tmp_path`."""

    def make(*sources: str, roster: str | None = None) -> list[ClassSubmission]:
        return find_submissions(
            [str(tmp_path / source) for source in sources],
            roster=None if roster is None else tmp_path / roster,
            unpack_into=tmp_path / "out" / "unpacked",
        )

    return make


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"# {name}\n", encoding="utf-8")


def ids(found: list[ClassSubmission]) -> list[str]:
    return [submission.id for submission in found]


def problems(found: list[ClassSubmission]) -> dict[str, str]:
    return {submission.id: submission.problem for submission in found if submission.problem}


def test_files_folders_and_globs(find: Find, tmp_path: Path) -> None:
    write(tmp_path, "one.py", "week3/b.py", "week3/a.ipynb", "week3/c.docx", "week3/conftest.py", "week3/test_b.py")
    write(tmp_path, "week3/README.md")
    assert ids(find("one.py")) == ["one"]
    found = find("week3")
    assert ids(found) == ["a", "b", "c", "test_b"]
    assert problems(found) == {"c": "c.docx is not a .py, .ipynb or .zip file"}
    assert ids(find("week3/*.py", "one.py")) == ["b", "conftest", "one", "test_b"]
    assert ids(find("one.py", "*.py")) == ["one"]


def test_a_folder_for_each_student(find: Find, tmp_path: Path) -> None:
    write(tmp_path, "class/ann/solution.py", "class/ann/helpers.py", "class/bob/hw/only.py", "class/__MACOSX/x/y.py")
    write(tmp_path, "class/.git/hooks/z.py", "class/cleo/attention.py", "class/cleo/tests/test_x.py", "class/dan/A.PY")
    (tmp_path / "class" / "empty").mkdir()
    found = find("class")
    assert ids(found) == ["ann", "bob", "cleo", "dan", "empty"]
    assert [each.path.name for each in found if each.path] == ["solution.py", "only.py", "attention.py", "A.PY"]
    assert found[0].folder == tmp_path / "class" / "ann"
    assert problems(found) == {"empty": "the folder is empty"}


def test_folders_of_one_class_named_one_by_one(find: Find, tmp_path: Path) -> None:
    write(tmp_path, "class/ann/attention.py", "class/bob/attention.py", "class/cleo/notes.txt")
    (tmp_path / "class" / "dan").symlink_to(tmp_path / "class" / "ann")
    found = find("class/*")
    assert ids(found) == ["ann", "bob", "cleo", "dan"]
    assert set(problems(found)) == {"cleo", "dan"}
    write(tmp_path, "week1/ann/a.py", "week2/eve/a.py")
    assert ids(find("week1", "week2")) == ["ann", "eve"]


@pytest.mark.parametrize("names", [("one.py", "two.py"), ("attention.py", "attention.ipynb")])
def test_a_folder_with_two_candidates_is_a_question(names: tuple[str, str], find: Find, tmp_path: Path) -> None:
    write(tmp_path, *(f"class/ann/{name}" for name in names), "class/bob/attention.py")
    found = find("class")
    assert found[0].problem.startswith("which file is the submission: ")
    assert all(name in found[0].problem for name in names)
    assert not found[1].problem


def test_a_notebook_beside_a_file_of_the_same_name_is_a_question(find: Find, tmp_path: Path) -> None:
    write(tmp_path, "class/ann.py", "class/ann.ipynb", "class/bob.py")
    assert problems(find("class")) == {"ann": "which file is the submission: ann.ipynb, ann.py? Keep one of them"}


def test_nothing_of_these_stops_the_class(find: Find, tmp_path: Path) -> None:
    folder = tmp_path / "class"
    write(tmp_path, "secret/attention.py", "class/good/attention.py", "class/fine.py")
    os.mkfifo(folder / "pipe.py")
    (folder / "linked").symlink_to(tmp_path / "secret")
    (folder / "linked_file.py").symlink_to(tmp_path / "secret" / "attention.py")
    (folder / "dangling.py").symlink_to(tmp_path / "nowhere")
    (folder / "inside").mkdir()
    (folder / "inside" / "attention.py").symlink_to(tmp_path / "secret" / "attention.py")
    (folder / "broken.zip").write_bytes(b"PK no zip")
    with (folder / "huge.py").open("wb") as file:
        file.truncate(100 * 10**9)
    os.mkdir(os.fsencode(folder) + b"/b\xe9a")
    Path(os.fsdecode(os.fsencode(folder) + b"/b\xe9a/attention.py")).write_text("x = 1")
    deep = folder / "deep"
    for _ in range(40):
        deep = deep / "d"
    deep.mkdir(parents=True)
    found = find("class")
    assert problems(found).keys() == {
        *("pipe", "linked", "linked_file", "dangling", "inside", "broken", "huge", "deep"),
    }
    assert "a named pipe" in problems(found)["pipe"]
    assert problems(found)["huge"] == "huge.py has 100,000 MB; code can have 5 MB"
    assert "nested deeper" in problems(found)["deep"]
    assert "cannot be unpacked" in problems(found)["broken"]
    assert all("link to" in problems(found)[name] for name in ("linked", "linked_file", "dangling", "inside"))
    assert [each.id for each in found if not each.problem] == ["b\\xe9a", "fine", "good"]


def write_zip(path: Path, *names: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "x = 1\n")


def test_a_zip_of_a_student_in_a_class_folder_and_beside_other_files(find: Find, tmp_path: Path) -> None:
    write_zip(tmp_path / "class" / "ann.zip", "attention.py", "helpers.py")
    write_zip(tmp_path / "class" / "bob" / "homework.ZIP", "hw/attention.py")
    write(tmp_path, "class/bob/report.pdf", "class/cleo/attention.py")
    write_zip(tmp_path / "class" / "cleo" / "old.zip", "attention.py")
    found = find("class")
    assert ids(found) == ["ann", "bob", "cleo"]
    assert not problems(found)
    assert found[2].path == tmp_path / "class" / "cleo" / "attention.py"


def test_a_zip_in_a_zip(find: Find, tmp_path: Path) -> None:
    write_zip(tmp_path / "ann.zip", "attention.py")
    with zipfile.ZipFile(tmp_path / "week3.zip", "w") as archive:
        archive.write(tmp_path / "ann.zip", "ann.zip")
        archive.writestr("bob.py", "x = 1")
    assert ids(find("week3.zip")) == ["ann", "bob"]


def test_a_zip_with_the_class_in_one_folder(find: Find, tmp_path: Path) -> None:
    write_zip(tmp_path / "all.zip", "all/ann.py", "all/bob/attention.py", "__MACOSX/all/._ann.py")
    assert ids(find("all.zip")) == ["ann", "bob"]


def test_two_zips_of_the_same_name(find: Find, tmp_path: Path) -> None:
    write_zip(tmp_path / "a" / "week3.zip", "ann.py", "bob.py")
    write_zip(tmp_path / "b" / "week3.zip", "cleo.py", "bob.py")
    found = find("a/week3.zip", "b/week3.zip")
    assert ids(found) == ["ann", "cleo", "week3/bob", "week3~2/bob"]
    assert len({each.path for each in found}) == 4


def test_a_zip_unpacked_again_replaces_what_was_unpacked_before(find: Find, tmp_path: Path) -> None:
    write_zip(tmp_path / "week3.zip", "ann.py", "bob.py")
    assert ids(find("week3.zip")) == ["ann", "bob"]
    write_zip(tmp_path / "week3.zip", "bob.py", "cleo.py")
    assert ids(find("week3.zip")) == ["bob", "cleo"]


def test_a_zip_that_is_too_large(find: Find, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.py", "0" * 2_000_000)
    monkeypatch.setattr(archives, "MAX_ZIP_BYTES", 1_000_000)
    assert "holds 1 files of 2 MB unpacked; the limit is" in problems(find("bomb.zip"))["bomb"]


def test_a_name_for_all_and_others_in_the_roster(find: Find, tmp_path: Path) -> None:
    write(tmp_path, "class/ann.py", "class/bob.py")
    (tmp_path / "roster.csv").write_text("id,path,function\nbob,class/bob.py,Head\n")
    found = find_submissions(
        [str(tmp_path / "class")], name="attend", roster=tmp_path / "roster.csv", unpack_into=tmp_path
    )
    assert {each.id: each.name for each in found} == {"ann": "attend", "bob": "Head"}


def test_nothing_there(find: Find, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="nothing matches it as a pattern") as caught:
        find("nowhere*.py", "empty", "neither.py")
    assert "nowhere*.py" in str(caught.value)
    assert "neither.py" in str(caught.value)
    with pytest.raises(UsageError, match="no submission there"):
        find("empty")
    write(tmp_path, "notes.txt")
    with pytest.raises(UsageError, match="is not a submission"):
        find("notes.txt")


def test_the_same_id_from_two_folders_gets_the_folders_name(find: Find, tmp_path: Path) -> None:
    write(tmp_path, "a/same.py", "a/x.py", "b/same.py", "b/y.py")
    assert ids(find("a", "b")) == ["a/same", "b/same", "x", "y"]
