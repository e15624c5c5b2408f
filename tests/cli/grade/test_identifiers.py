"""Ids stay as they are; file names of them are safe and unique."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pytest_attn_grader.cli.grade.identifiers import assign_file_stems, make_file_stem, make_ids_unique, natural_key
from pytest_attn_grader.cli.grade.submissions import ClassSubmission


def test_natural_order() -> None:
    assert sorted(["student10", "student2", "Student1", "b"], key=natural_key) == [
        "b",
        "Student1",
        "student2",
        "student10",
    ]


@given(st.lists(st.text(st.sampled_from("aA/. _é"), max_size=100), unique=True, max_size=5))
def test_every_id_has_a_file_name_of_its_own(ids: list[str]) -> None:
    stems = [each.file_stem for each in assign_file_stems([ClassSubmission(each) for each in ids])]
    assert len({stem.casefold() for stem in stems}) == len(ids)
    for stem in stems:
        assert stem == Path(stem).name
        assert not stem.startswith(".")


def test_file_names_are_the_ids_where_they_can_be() -> None:
    assert make_file_stem("s 17/a") == "s_17_a"
    assert make_file_stem("../../s18") == "_.._s18"
    assert make_file_stem("Ümit@x.edu") == "Ümit@x.edu"
    stems = [
        each.file_stem
        for each in assign_file_stems([ClassSubmission("a b"), ClassSubmission("a_b"), ClassSubmission("c")])
    ]
    assert stems[2] == "c"
    assert stems[0] != stems[1]


def test_three_of_the_same_id() -> None:
    paths = [Path("/x/a/one/hw.py"), Path("/x/b/one/hw.py"), Path("/x/b/two/hw.py")]
    found = make_ids_unique([ClassSubmission("hw", path, path) for path in paths])
    assert [each.id for each in found] == ["a/one/hw", "b/one/hw", "two/hw"]


def test_a_problem_and_a_submission_of_the_same_id_are_both_kept() -> None:
    path = Path("/x/ann.py")
    found = make_ids_unique([ClassSubmission("ann", path, path), ClassSubmission("ann", problem="not code")])
    assert [each.id for each in found] == ["ann", "ann (2)"]
