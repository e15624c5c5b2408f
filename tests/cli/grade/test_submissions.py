"""What a class hands in, in every shape it comes in."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_attn_grader.cli.grade import submissions as module
from pytest_attn_grader.cli.grade.submissions import Submission, find_submissions
from pytest_attn_grader.errors import UsageError

Find = Callable[..., list[Submission]]


@pytest.fixture
def find(tmp_path: Path) -> Find:
    """`find("a.py", ..., roster=None)` with names below `tmp_path`."""

    def make(*sources: str, roster: str | None = None) -> list[Submission]:
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


def ids(found: list[Submission]) -> list[str]:
    return [submission.id for submission in found]


def test_files_folders_and_globs(find: Find, tmp_path: Path) -> None:
    write(tmp_path, "one.py", "week3/b.py", "week3/a.ipynb", "week3/notes.txt", "week3/conftest.py", "week3/test_b.py")
    assert ids(find("one.py")) == ["one"]
    assert ids(find("week3")) == ["a", "b"]
    assert ids(find("week3/*.py", "one.py")) == ["b", "conftest", "one", "test_b"]
    assert ids(find("one.py", "*.py")) == ["one"]


def test_a_folder_for_each_student(find: Find, tmp_path: Path) -> None:
    write(tmp_path, "class/ann/solution.py", "class/ann/helpers.py", "class/bob/hw/only.py", "class/__MACOSX/x/y.py")
    write(tmp_path, "class/.git/hooks/z.py")
    (tmp_path / "class" / "empty").mkdir()
    found = find("class")
    assert ids(found) == ["ann", "bob"]
    assert [submission.path.name for submission in found] == ["solution.py", "only.py"]
    assert found[0].folder.name == "ann"


def test_a_folder_that_cannot_be_told(find: Find, tmp_path: Path) -> None:
    write(tmp_path, "class/ann/one.py", "class/ann/two.py")
    with pytest.raises(UsageError, match=r"ann: which file is the submission\? There is one.py, two.py"):
        find("class")


def test_a_zip(find: Find, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "week3.zip", "w") as archive:
        for name in ("week3/ann.py", "week3/bob/attention.py", "../../escaped.py", "/tmp/absolute.py"):
            archive.writestr(name, "x = 1\n")
    found = find("week3.zip")
    below = tmp_path / "out" / "unpacked" / "week3"
    assert all(submission.path.is_relative_to(below) for submission in found)
    assert not (tmp_path / "escaped.py").exists()
    assert not (tmp_path / "out" / "escaped.py").exists()


def test_a_zip_with_the_class_in_one_folder(find: Find, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("all/ann.py", "x = 1\n")
        archive.writestr("all/bob/attention.py", "x = 1\n")
    assert ids(find("all.zip")) == ["ann", "bob"]


def test_a_zip_that_is_refused(find: Find, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "no.zip").write_text("no zip")
    with pytest.raises(UsageError, match=r"no.zip cannot be unpacked"):
        find("no.zip")
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        link = zipfile.ZipInfo("link.py")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UsageError, match=r"link.py is a link"):
        find("link.zip")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.py", "0" * 2_000_000)
    monkeypatch.setattr(module, "MAX_ZIP_BYTES", 1_000_000)
    with pytest.raises(UsageError, match=r"holds 1 files of 2 MB unpacked; at most"):
        find("bomb.zip")


def test_a_roster(find: Find, tmp_path: Path) -> None:
    write(tmp_path, "work/x1.py", "work/ann/solution.py")
    (tmp_path / "class.csv").write_text(
        "\ufeffid,path,name\ns 17/a,work/x1.py,attend\n../../s18,work/ann,\n", encoding="utf-8"
    )
    found = find(roster="class.csv")
    assert ids(found) == ["_.._s18", "s_17_a"]
    assert found[1].target.endswith("x1.py:attend")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,file\na,b\n", "must name the columns id and path"),
        ("id,path\n,a.py\n", "line 2: id or path is empty"),
        ("id,path\na,nowhere.py\n", "line 2: there is no"),
        ("id,path\na,class.csv\n", "neither a .py nor an .ipynb"),
    ],
)
def test_a_roster_that_cannot_be_used(text: str, message: str, find: Find, tmp_path: Path) -> None:
    (tmp_path / "class.csv").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        find(roster="class.csv")


def test_nothing_there(find: Find, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="nothing matches it as a pattern"):
        find("nowhere*.py")
    with pytest.raises(UsageError, match="no submission there"):
        find("empty")
    write(tmp_path, "notes.txt")
    with pytest.raises(UsageError, match="is no submission"):
        find("notes.txt")


def test_two_of_the_same_id(find: Find, tmp_path: Path) -> None:
    write(tmp_path, "a/same.py", "b/same.py")
    with pytest.raises(UsageError, match="would both be 'same'"):
        find("a", "b")


def test_the_hash_changes_with_whatever_belongs_to_it(find: Find, tmp_path: Path) -> None:
    write(tmp_path, "class/ann/solution.py", "class/ann/helpers.py", "class/bob/solution.py")
    ann, bob = find("class")
    before = ann.hash_content(), bob.hash_content()
    assert before[0] == ann.hash_content()
    (ann.folder / "helpers.py").write_text("changed")
    assert (ann.hash_content() == before[0], bob.hash_content() == before[1]) == (False, True)
