"""What each grader makes of a run that has no verdict: it can read every document, and notes no points."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_attn_grader.reports.formats import FORMATS, find_format, github_annotations
from pytest_attn_grader.reports.json_report import load_report
from pytest_attn_grader.results.report import GradeReport
from tests.reports.formats import samples
from tests.reports.formats.test_exercism import in_exercism
from tests.reports.formats.test_github_annotations import commands
from tests.reports.formats.test_github_classroom import decoded, noted
from tests.reports.formats.test_github_summary import html
from tests.reports.formats.test_gradescope import rendered
from tests.reports.formats.test_prairielearn import in_prairielearn
from tests.support.reports import check, report_of
from tests.support.students import REFERENCE

if TYPE_CHECKING:
    from tests.support.runs import Warm


def read_gradescope(report: GradeReport) -> object:
    document = rendered(report)
    return document.get("score"), document.get("tests")


def read_classroom(report: GradeReport) -> object:
    assert decoded(report)["status"] == "error"
    return noted(report), decoded(report)["tests"] or None


def read_prairielearn(report: GradeReport) -> object:
    document = in_prairielearn(report)
    assert document["gradable"] is False
    return document.get("score"), document.get("tests")


def read_exercism(report: GradeReport) -> object:
    document = in_exercism(report)
    assert document["status"] == "error"
    return None, document["tests"] or None


def read_summary(report: GradeReport) -> object:
    shown = html(report)
    assert "no points given or taken" in shown
    return None, "<table" in shown or None


def read_annotations(report: GradeReport) -> object:
    found = commands(github_annotations.render(report))
    assert [each["kind"] for each in found] == ["warning"]
    return None, None


# The schema or the reader of each, and the points and tests that it finds.
CONSUMERS: dict[str, Callable[[GradeReport], object]] = {
    "gradescope": read_gradescope,
    "github": read_summary,
    "github-annotations": read_annotations,
    "classroom": read_classroom,
    "prairielearn": read_prairielearn,
    "exercism": read_exercism,
}
WITHOUT_VERDICT = {
    "partial": samples.partial(),
    "partial, all passed": report_of(check(), check("passed", "shape"), reason="partial: 2 of 56 checks"),
    "partial, none ran": report_of(check("skipped", "shape"), reason="partial: 0 of 56 checks"),
    "partial, after a failed import": samples.broken_import().model_copy(
        update={"verdict": "ungradable", "reason": "partial: 1 of 56 checks"}
    ),
    "ungradable": samples.ungradable(),
    "ungradable before any check": report_of(reason="never began"),
    "ungradable with hostile words": samples.ungradable(samples.HOSTILE),
    "ungradable and long": samples.ungradable("x" * 200_000),
}


def test_every_format_has_a_consumer() -> None:
    assert list(CONSUMERS) == [known.name for known in FORMATS]


@pytest.mark.parametrize("kind", WITHOUT_VERDICT)
@pytest.mark.parametrize("name", CONSUMERS)
def test_a_run_without_a_verdict_gives_no_points(name: str, kind: str) -> None:
    assert WITHOUT_VERDICT[kind].verdict == "ungradable"
    assert CONSUMERS[name](WITHOUT_VERDICT[kind]) == (None, None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "words"),
    [(("-k", "masking"), "partial: "), (("-x",), "partial: "), (("--attn-model=./nowhere",), "nowhere")],
)
def test_what_a_real_run_writes(options: tuple[str, ...], words: str, warm: Warm) -> None:
    """The same document as `convert` makes of the report, and no points in it."""
    formats = [f"--attn-format={name}:{name}.out" for name in CONSUMERS]
    wrong = REFERENCE.replace(" / math.sqrt(query.size(-1))", "")
    run = warm.grade(wrong, *options, *formats)
    assert run.verdict == "ungradable"
    assert words in run.report["reason"]
    report = load_report(run.report_path)
    for name, read in CONSUMERS.items():
        assert read(report) == (None, None)
        assert without_time(run.folder / f"{name}.out") == without_time(find_format(name).render(report))


def without_time(document: Path | str) -> Any:
    text = document.read_text(encoding="utf-8") if isinstance(document, Path) else document
    if not text.startswith("{"):
        return text
    return {key: value for key, value in json.loads(text).items() if key != "execution_time"}
