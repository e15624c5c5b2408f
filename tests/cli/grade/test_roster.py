"""Rosters as spreadsheets and learning management systems write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_attn_grader.cli.grade.discovery import find_submissions
from pytest_attn_grader.cli.grade.roster import read_roster
from pytest_attn_grader.cli.grade.submissions import ClassSubmission
from pytest_attn_grader.errors import UsageError


def find(folder: Path, roster: bytes | str, *sources: str) -> list[ClassSubmission]:
    (folder / "class.csv").write_bytes(roster if isinstance(roster, bytes) else roster.encode())
    places = [str(folder / source) for source in sources]
    return find_submissions(places, roster=folder / "class.csv", unpack_into=folder / "unpacked")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    for name in ("work/x1.py", "work/ann/solution.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("def attend(): ...\n")
    return tmp_path


def test_ids_stay_as_they_are(work: Path) -> None:
    found = find(work, "id,path,name\ns 17/a,work/x1.py,attend\n../../s18,work\\ann,Ann\n")
    assert [each.id for each in found] == ["../../s18", "s 17/a"]
    assert [each.file_stem for each in found] == ["_.._s18", "s_17_a"]
    assert found[1].target.endswith("x1.py:attend")
    assert (found[0].student, found[0].name) == ("Ann", None)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_encodings_and_delimiters(encoding: str, delimiter: str, work: Path) -> None:
    rows = [["Student ID", "Full name", "File"], ["ü1", "Jürgen", "work/x1.py"]]
    text = "\r\n".join(delimiter.join(row) for row in rows)
    (found,) = find(work, text.encode(encoding))
    assert (found.id, found.student, found.problem) == ("ü1", "Jürgen", "")


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("Student,ID,SIS User ID,SIS Login ID,Section", '"Doe, Jane",12345,s99,jdoe,A'),
        ("Identifier,Full name,ID number,Email address", "12345,Jane Doe,s99,j@uni.edu"),
        ("OrgDefinedId,Username,Last Name,First Name", "12345,jdoe,Doe,Jane"),
        ("First Name,Last Name,SID,Email", "Jane,Doe,12345,j@uni.edu"),
        ("identifier,github_username,github_id,name", "s1,12345,7,Jane"),
    ],
)
def test_rosters_of_other_systems_match_by_any_column(header: str, row: str, tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "doejane_12345_67890_attention.py").write_text("x = 1")
    (found,) = find(tmp_path, f"{header}\n{row}\n\n  ,\n", "export")
    assert found.path is not None
    assert not found.problem


def test_a_canvas_name_matches_the_students_name(tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "doejane_12345_67890_attention.py").write_text("x = 1")
    (found,) = find(tmp_path, 'id,name\ns99,"Doe, Jane"\n', "export")
    assert (found.id, found.student) == ("s99", "Doe, Jane")


def test_every_line_and_every_submission_has_a_row(work: Path) -> None:
    found = find(work, "id,path\na,nowhere.py\n,work/x1.py\n\nb\nc,class.csv\n   ,  \nann,\n", "work")
    by_id = {each.id: each for each in found}
    assert list(by_id) == ["a", "ann", "b", "c", "x1", "x1 (2)"]
    assert "line 2 of the roster: there is no" in by_id["a"].problem
    assert not by_id["ann"].problem
    assert by_id["b"].problem == "no submission, only a roster line"
    assert "is not a .py" in by_id["c"].problem
    assert any("has a path and no id" in each.problem for each in found)
    assert any(each.notes == ("not in the roster",) for each in found)


def test_two_students_with_one_submission_have_two_rows(work: Path) -> None:
    found = find(work, "id,path\na,work/x1.py\nb,work/x1.py\n")
    assert [(each.id, each.path and each.path.name) for each in found] == [("a", "x1.py"), ("b", "x1.py")]


@pytest.mark.parametrize("text", ["colour,size\nred,4\n", ""])
def test_a_roster_without_ids_cannot_be_used(text: str, tmp_path: Path) -> None:
    (tmp_path / "class.csv").write_text(text)
    with pytest.raises(UsageError, match="none of them is an id"):
        read_roster(tmp_path / "class.csv")


def test_a_roster_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere.csv cannot be read: No such file"):
        read_roster(tmp_path / "nowhere.csv")


def test_a_path_may_name_what_to_grade(work: Path) -> None:
    found = find(work, "id,path,function\ns1,work/x1.py:attend,\ns2,work/ann/solution.py:attend,other\n")
    assert [(each.id, each.name) for each in found] == [("s1", "attend"), ("s2", "other")]
    assert not any(each.problem for each in found)
