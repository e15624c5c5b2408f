"""The reports of a small class: right, wrong, damaged and ungradable ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_attn_grader.results.report import Diagnosis, GradeReport
from tests.support.reports import check, report_of

SCRIPT = "<script>alert(1)</script>"


def write_report_file(folder: Path, name: str, report: GradeReport | str) -> None:
    (folder / "reports").mkdir(exist_ok=True)
    text = report if isinstance(report, str) else json.dumps({"attn_grader": report.model_dump(mode="json")})
    (folder / "reports" / f"{name}.json").write_text(text, encoding="utf-8")


def wrong(error: float, *slugs: str, **more: Any) -> GradeReport:
    failed = check("failed", "equivalence", id="equivalence.basic", evidence={"output_error": error}, actual="x")
    diagnosis = Diagnosis(slugs=slugs, titles=slugs, message="m")
    return report_of(failed, check(), **more).model_copy(update={"diagnosis": diagnosis})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_report_file(tmp_path, "ann", report_of(check()))
    write_report_file(tmp_path, "bob", wrong(0.123456789, "no-scale"))
    write_report_file(tmp_path, "cleo", wrong(0.1234567, "no-scale"))
    write_report_file(tmp_path, "dan", wrong(0.7))
    write_report_file(tmp_path, "eve", wrong(0.7))
    write_report_file(tmp_path, "fay", "half of a rep")
    ungradable = report_of(check()).model_copy(update={"verdict": "ungradable", "reason": f"=1+1 {SCRIPT}"})
    write_report_file(tmp_path, "gus", ungradable)
    return tmp_path
