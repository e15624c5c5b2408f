"""Add points, category and diagnosis as properties to the file of pytest's `--junitxml`.

The points of a check depend on all other checks. So each test gets only its check's id while it runs, and the other
properties are added to the file that pytest has written.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import pytest

from pytest_attn_grader.reports.atomic_write import write_text_atomically
from pytest_attn_grader.reports.escaping import for_log, for_path, for_terminal
from pytest_attn_grader.results.report import CheckResult, GradeReport

_ID = "attn_id"
MAX_CHARS = 2000


def set_check_property(item: pytest.Item, result: CheckResult) -> None:
    """Put the check's id into the properties of its test."""
    item.user_properties[:] = [pair for pair in item.user_properties if pair[0] != _ID] + [(_ID, result.id)]


def add_properties(report: GradeReport, config: pytest.Config) -> None:
    """Add the properties to the file of `--junitxml`, when that option is given."""
    typed = config.getoption("xmlpath", None)
    if not typed:
        return
    path = Path(os.path.abspath(os.path.expanduser(os.path.expandvars(typed))))
    try:
        tree = ElementTree.parse(path)
        _extend(tree.getroot(), report)
        write_text_atomically(path, ElementTree.tostring(tree.getroot(), encoding="unicode", xml_declaration=True))
    except (OSError, ElementTree.ParseError) as error:
        sys.stderr.write(f"attn-grader: no points were added to {for_path(typed)}: {for_terminal(str(error))}\n")


def _extend(root: ElementTree.Element, report: GradeReport) -> None:
    checks = {check.id: check for check in report.checks}
    for suite in root.iter("testsuite"):
        _add(suite, _of_run(report))
        for case in suite.iter("testcase"):
            named = case.find(f"properties/property[@name='{_ID}']")
            if named is not None and named.get("value") in checks:
                _add(case, _of_check(checks[named.get("value", "")], report))


def _add(element: ElementTree.Element, properties: Mapping[str, object]) -> None:
    parent = element.find("properties")
    if parent is None:
        parent = ElementTree.Element("properties")
        element.insert(0, parent)
    for name, value in properties.items():
        ElementTree.SubElement(parent, "property", name=name, value=for_log(str(value), MAX_CHARS))


def _of_run(report: GradeReport) -> dict[str, object]:
    properties: dict[str, object] = {"attn_verdict": report.verdict}
    if report.verdict != "ungradable":
        properties |= {"attn_points": report.score.earned, "attn_points_possible": report.score.possible}
    if report.reason:
        properties["attn_reason"] = report.reason
    if report.diagnosis is not None:
        properties["attn_diagnosis"] = ", ".join(report.diagnosis.slugs) or "none of the known mistakes"
        properties["attn_diagnosis_message"] = report.diagnosis.message
    return properties


def _of_check(check: CheckResult, report: GradeReport) -> dict[str, object]:
    properties: dict[str, object] = {"attn_category": check.category, "attn_outcome": check.outcome}
    if report.verdict != "ungradable":
        properties |= {
            "attn_points": round(check.points_earned, 6),
            "attn_points_possible": round(check.points_possible, 6),
        }
    if check.outcome == "failed" and report.diagnosis is not None and report.diagnosis.slugs:
        properties["attn_diagnosis"] = ", ".join(report.diagnosis.slugs)
    return properties
