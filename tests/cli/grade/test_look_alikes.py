"""Wrong submissions with the same errors are grouped; the groups without a named mistake come first."""

from __future__ import annotations

from pathlib import Path

from pytest_attn_grader.cli.grade.gradebook_rows import read_class
from pytest_attn_grader.cli.grade.look_alikes import find_look_alikes
from tests.cli.grade.conftest import write_report_file, wrong


def groups(folder: Path) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    return [(tuple(row.id for row in group.rows), group.mistakes) for group in find_look_alikes(read_class(folder))]


def test_the_groups_without_a_name_come_first(folder: Path) -> None:
    assert groups(folder) == [(("dan", "eve"), ()), (("bob", "cleo"), ("no-scale",))]


def test_other_inputs_make_no_look_alikes(tmp_path: Path) -> None:
    for seed, name in enumerate(("ann", "bob")):
        write_report_file(tmp_path, name, wrong(0.7).model_copy(update={"seeds": {"inputs": seed}}))
    assert groups(tmp_path) == []


def test_a_group_is_named_by_all_of_its_mistakes(tmp_path: Path) -> None:
    write_report_file(tmp_path, "ann", wrong(0.7, "mask-inverted"))
    write_report_file(tmp_path, "bob", wrong(0.7, "additive-as-bool"))
    assert groups(tmp_path) == [(("ann", "bob"), ("mask-inverted", "additive-as-bool"))]
