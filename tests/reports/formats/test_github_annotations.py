from __future__ import annotations

import re
from pathlib import Path

from pytest_attn_grader.reports.formats import github_annotations
from pytest_attn_grader.reports.formats.github_annotations import folder_in_repository
from tests.reports.formats import samples
from tests.support.reports import report_of

COMMAND = re.compile(r"::(?P<kind>error|warning|notice) (?P<properties>[^:]*)::(?P<message>[^\r\n]*)")


def commands(text: str) -> list[dict[str, str]]:
    """What the runner makes of the text: every line must be one command."""
    found = []
    for line in text.splitlines():
        command = COMMAND.fullmatch(line)
        assert command is not None, line
        properties = dict(pair.split("=", 1) for pair in command["properties"].split(","))
        found.append({"kind": command["kind"], "message": command["message"], **properties})
    return found


def test_annotations_stand_at_the_student_s_lines() -> None:
    diagnosis, failure, verdict = commands(github_annotations.render(samples.failed(), folder="hw1/"))
    assert (diagnosis["file"], diagnosis["line"], diagnosis["kind"]) == ("hw1/week1/mine.py", "3", "error")
    assert diagnosis["title"] == "Attention%3A does not scale"
    assert (failure["file"], failure["line"], failure["endLine"]) == ("hw1/week1/mine.py", "7", "7")
    assert failure["message"] == "expected: off by 0.5%0Aactual:   off by 0.5%0Ahint:     off by 0.5"
    assert (verdict["kind"], verdict["message"]) == ("notice", "Failed, 21.05 of 100 points: 1 check failed")


def test_a_student_cannot_make_an_annotation_of_their_own() -> None:
    for report in samples.hostile():
        assert all(command.get("file") != "x" for command in commands(github_annotations.render(report)))


def test_a_path_above_the_folder_and_one_from_the_root() -> None:
    report = samples.failed()
    above = report.model_copy(update={"student": report.student.model_copy(update={"target": "../b/mine.py"})})
    root = report.model_copy(update={"student": report.student.model_copy(update={"target": "/w/mine.py"})})
    assert commands(github_annotations.render(above, folder="a/"))[0]["file"] == "b/mine.py"
    assert commands(github_annotations.render(root, folder="a/"))[0]["file"] == "/w/mine.py"


def test_ten_errors_at_most_and_the_rest_counted() -> None:
    found = commands(github_annotations.render(samples.large(15)))
    assert [command["kind"] for command in found] == ["error"] * 10 + ["notice"]
    assert found[-1]["message"].endswith("%0A6 more failures are in the summary and the report.")


def test_one_notice_when_all_is_well_and_one_warning_when_nobody_can_say() -> None:
    assert [command["kind"] for command in commands(github_annotations.render(samples.passed()))] == ["notice"]
    (only,) = commands(github_annotations.render(samples.ungradable()))
    assert only["kind"] == "warning"
    assert "file" not in only
    assert [one["kind"] for one in commands(github_annotations.render(report_of(reason="x")))] == ["warning"]


def test_the_folder_in_the_repository(tmp_path: Path) -> None:
    environment = {"GITHUB_WORKSPACE": str(tmp_path)}
    assert folder_in_repository(environment, tmp_path / "a" / "b") == "a/b/"
    assert folder_in_repository(environment, tmp_path) == ""
    assert folder_in_repository(environment, Path("/elsewhere")) == ""
    assert folder_in_repository({}, tmp_path) == ""
