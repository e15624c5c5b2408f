"""Exports of learning management systems are recognized by their names, and give ids and names."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_attn_grader.cli.grade.discovery import find_submissions
from pytest_attn_grader.cli.grade.lms_exports import recognize_export
from pytest_attn_grader.cli.grade.submissions import ClassSubmission

METADATA = """\
---
submission_456:
  :submitters:
  - :name: 'Doe, Jane'
    :sid: '12345'
    :email: jane@uni.edu
  :created_at: !ruby/object:ActiveSupport::TimeWithZone 2024-01-15 10:30:45
  :results:
    tests:
    - score: 1
submission_457:
  :submitters:
  - :name: Bob
    :sid:
    :email: bob@uni.edu
  - :name: Cleo
    :sid: '777'
    :email: cleo@uni.edu
"""
# Files of an export, and what must be found: id -> (student, file to grade or a word of the problem, note).
EXPORTS: dict[str, tuple[dict[str, str], dict[str, tuple[str, str, str]]]] = {
    "Canvas": (
        {
            "doejane_12345_67890_attention.py": "",
            "doejane_12345_67891_helpers-1.py": "",
            "roebob_LATE_12346_67892_my_attention-2.ipynb": "",
            "smithcleo_12347_67893_homework.docx": "",
            "writerdan_12348_text.html": "",
            "eve-marie_12349_67894_a.py": "",
            "eve-marie_12349_67895_b.py": "",
        },
        {
            "12345": ("doejane", "attention.py", ""),
            "12346": ("roebob", "my_attention.ipynb", "late"),
            "12347": ("smithcleo", "!homework.docx", ""),
            "12348": ("writerdan", "!online text", ""),
            "12349": ("eve-marie", "!which file", ""),
        },
    ),
    "Moodle": (
        {
            "Jane Doe_12345_assignsubmission_file_/attention.py": "",
            "Bob O'Neil_12346_assignsubmission_file_/hw/attention.py": "",
            "Dan_12348_assignsubmission_onlinetext_/onlinetext.html": "",
            "Participant_12349_assignsubmission_file_my_attention.py": "",
            "Fay_12350_assignsubmission_file_/attention.py": "",
            "Fay_12350_assignsubmission_onlinetext_/onlinetext.html": "",
        },
        {
            "12345": ("Jane Doe", "attention.py", ""),
            "12346": ("Bob O'Neil", "attention.py", ""),
            "12348": ("Dan", "!onlinetext.html", ""),
            "12349": ("", "my_attention.py", ""),
            "12350": ("Fay", "attention.py", ""),
        },
    ),
    "Blackboard": (
        {
            "Week_3_jdoe_attempt_2024-01-15-10-30-45.txt": "Name: Jane Doe (jdoe)\nAssignment: Week 3\n",
            "Week_3_jdoe_attempt_2024-01-15-10-30-45_attention.py": "old = 1",
            "Week_3_jdoe_attempt_2024-01-16-10-30-45.txt": "Name: Jane Doe (jdoe)\n",
            "Week_3_jdoe_attempt_2024-01-16-10-30-45_attention.py": "new = 1",
            "Week_3_bob_attempt_2024-01-15-10-30-45.txt": "Name: Bob (bob)\n",
        },
        {"jdoe": ("Jane Doe", "attention.py", "newest of 2 attempts"), "bob": ("Bob", "!no file", "")},
    ),
    "Brightspace": (
        {
            "397063-2557369 - Mary-Ann Smith - Sep 24, 2024 926 PM/attention.py": "old = 1",
            "397063-2557369 - Mary-Ann Smith - Sep 25, 2024 1026 AM/attention.py": "new = 1",
            "397064-2557369 - John Doe - Sep 24, 2024 926 PM/notes.txt": "",
            "index.html": "",
        },
        {
            "397063": ("Mary-Ann Smith", "attention.py", "newest of 2 attempts"),
            "397064": ("John Doe", "!notes.txt", ""),
        },
    ),
    "Gradescope": (
        {
            "submission_456/attention.py": "",
            "submission_457/solution.py": "",
            "submission_458/attention.py": "",
            "submission_metadata.yml": METADATA,
        },
        {
            "12345": ("Doe, Jane", "attention.py", ""),
            "bob@uni.edu": ("Bob", "solution.py", ""),
            "777": ("Cleo", "solution.py", ""),
            "submission_458": ("", "attention.py", ""),
        },
    ),
    "GitHub Classroom": (
        {
            "week3-ann-lee/.git/config": "",
            "week3-ann-lee/attention.py": "",
            "week3-ann-lee/tests/test_attention.py": "",
            "week3-bob/.git/config": "",
            "week3-bob/src/attention.py": "",
            "week3-bob/tests/test_attention.py": "",
        },
        {"ann-lee": ("", "attention.py", ""), "bob": ("", "attention.py", "")},
    ),
    "CodeGrade": (
        {
            "Jane Doe - 2024-01-15T10:30:45/attention.py": "old = 1",
            "Jane Doe - 2024-02-15T10:30:45/attention.py": "new = 1",
            "Bob - 2024-01-15T10:30:45/only.py": "",
        },
        {"Jane Doe": ("Jane Doe", "attention.py", "newest of 2 attempts"), "Bob": ("Bob", "only.py", "")},
    ),
}


def write_export(folder: Path, system: str) -> None:
    for name, content in EXPORTS[system][0].items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content or "x = 1\n", encoding="utf-8")


def found_by_id(folder: Path, tmp_path: Path) -> dict[str, ClassSubmission]:
    return {each.id: each for each in find_submissions([str(folder)], unpack_into=tmp_path / "unpacked")}


@pytest.mark.parametrize("system", EXPORTS)
def test_an_export_gives_ids_names_and_files(system: str, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    write_export(folder, system)
    export = recognize_export(folder)
    assert export is not None
    assert export.system == system
    found = found_by_id(folder, tmp_path)
    expected = EXPORTS[system][1]
    assert found.keys() == expected.keys()
    for key, (student, file, note) in expected.items():
        each = found[key]
        assert each.student == student
        assert each.notes == ((note,) if note else ())
        if file.startswith("!"):
            assert file[1:] in each.problem
        else:
            assert each.path is not None, each.problem
            assert each.path.name == file
            assert "old" not in each.path.read_text(encoding="utf-8")


@pytest.mark.parametrize("system", EXPORTS)
def test_an_export_inside_one_folder_and_an_entry_that_is_not_part_of_it(system: str, tmp_path: Path) -> None:
    folder = tmp_path / "download" / "export"
    write_export(folder, system)
    (folder / "by mail").mkdir()
    (folder / "by mail" / "attention.py").write_text("x = 1")
    assert found_by_id(folder.parent, tmp_path).keys() == {*EXPORTS[system][1], "by mail"}


@pytest.mark.parametrize("system", EXPORTS)
def test_an_export_beside_other_submissions_is_not_one_of_them(system: str, tmp_path: Path) -> None:
    """Its students are not lost: the whole folder is listed, with the reason."""
    folder = tmp_path / "class"
    write_export(folder / "section", system)
    for name in ("by-mail", "late"):
        (folder / name).mkdir()
        (folder / name / "attention.py").write_text("x = 1")
    found = found_by_id(folder, tmp_path)
    assert found.keys() == {"section", "by-mail", "late"}
    assert found["section"].problem


def test_files_of_a_student_that_look_like_an_export(tmp_path: Path) -> None:
    folder = tmp_path / "class" / "ann"
    folder.mkdir(parents=True)
    for name in ("attention.py", "run_1_100_loss.png", "run_2_200_loss.png"):
        (folder / name).write_text("x = 1")
    (tmp_path / "class" / "bob.py").write_text("x = 1")
    path = found_by_id(tmp_path / "class", tmp_path)["ann"].path
    assert path is not None
    assert path.name == "attention.py"


def test_equal_ids_of_two_exports_have_the_names_of_the_exports(tmp_path: Path) -> None:
    folders = [tmp_path / "exports" / name for name in ("monday", "friday")]
    for folder in folders:
        write_export(folder, "Canvas")
    found = find_submissions([str(folder) for folder in folders], unpack_into=tmp_path / "unpacked")
    assert {each.id for each in found if each.path} == {
        f"{day}/{number}" for day in ("monday", "friday") for number in (12345, 12346)
    }


def test_helpers_of_a_canvas_file_can_be_imported(tmp_path: Path) -> None:
    write_export(tmp_path / "export", "Canvas")
    path = found_by_id(tmp_path / "export", tmp_path)["12345"].path
    assert path is not None
    assert sorted(each.name for each in path.parent.iterdir()) == ["attention.py", "helpers.py"]


def test_student_numbers_that_several_students_have_are_not_ids(tmp_path: Path) -> None:
    for student in ("Ann", "Bob"):
        folder = tmp_path / "export" / f"397063-2557369 - {student} - Sep 24, 2024 926 PM"
        folder.mkdir(parents=True)
        (folder / "attention.py").write_text("x = 1")
    assert found_by_id(tmp_path / "export", tmp_path).keys() == {"Ann", "Bob"}


def test_clones_in_the_folder_that_the_classroom_extension_makes(tmp_path: Path) -> None:
    for name in ("lab-ann-b", "lab-ann-c"):
        (tmp_path / "lab-submissions" / name / ".git").mkdir(parents=True)
        (tmp_path / "lab-submissions" / name / "attention.py").write_text("x = 1")
    assert found_by_id(tmp_path / "lab-submissions", tmp_path).keys() == {"ann-b", "ann-c"}


def test_an_ordinary_class_is_not_an_export(tmp_path: Path) -> None:
    for name in ("ann.py", "bob_1.py", "week_3_final.py", "2024-01-15.py"):
        (tmp_path / name).write_text("x = 1")
    assert recognize_export(tmp_path) is None


@pytest.mark.parametrize("metadata", ["", "- a", "a: b", "submission_456: [", "submission_456:\n  :submitters: 3"])
def test_metadata_that_cannot_be_read(metadata: str, tmp_path: Path) -> None:
    (tmp_path / "export" / "submission_456").mkdir(parents=True)
    (tmp_path / "export" / "submission_456" / "attention.py").write_text("x = 1")
    (tmp_path / "export" / "submission_metadata.yml").write_text(metadata)
    assert found_by_id(tmp_path / "export", tmp_path).keys() == {"submission_456"}


def test_the_guide_lists_every_system() -> None:
    guide = (Path(__file__).parents[3] / ".github" / "docs" / "class-layouts.md").read_text(encoding="utf-8")
    assert all(f"| {system} |" in guide for system in EXPORTS)
