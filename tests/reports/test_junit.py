from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest

from pytest_attn_grader.reports import junit
from tests.reports.formats import samples

WRITTEN = """<?xml version="1.0" encoding="utf-8"?>
<testsuites name="pytest tests"><testsuite name="pytest" tests="3">
<testcase classname="c" name="test_a">
<properties><property name="attn_id" value="masking.future" /></properties></testcase>
<testcase classname="c" name="test_b"><properties><property name="attn_id" value="equivalence.x" /></properties>
<failure message="m">kept</failure></testcase>
<testcase classname="own" name="test_c" />
</testsuite></testsuites>"""


def config_of(path: Path | None) -> Any:
    return SimpleNamespace(getoption=lambda name, default=None: None if path is None else str(path))


def properties(element: ElementTree.Element) -> dict[str, str]:
    return {each.get("name", ""): each.get("value", "") for each in element.findall("properties/property")}


def written(report: Any, path: Path) -> ElementTree.Element:
    path.write_text(WRITTEN)
    junit.add_properties(report, config_of(path))
    suite = ElementTree.parse(path).getroot().find("testsuite")
    assert suite is not None
    return suite


def test_points_category_and_diagnosis(tmp_path: Path) -> None:
    suite = written(samples.failed(), tmp_path / "junit.xml")
    assert properties(suite)["attn_verdict"] == "failed"
    assert properties(suite)["attn_diagnosis"] == "no-scale"
    passed, failed, own = suite.findall("testcase")
    assert properties(passed) == {
        "attn_id": "masking.future",
        "attn_category": "masking",
        "attn_outcome": "passed",
        "attn_points": "20.0",
        "attn_points_possible": "20.0",
    }
    assert (properties(failed)["attn_points"], properties(failed)["attn_diagnosis"]) == ("0.0", "no-scale")
    assert failed.findtext("failure") == "kept"
    assert properties(own) == {}


def test_an_ungradable_run_has_no_points(tmp_path: Path) -> None:
    suite = written(samples.ungradable(), tmp_path / "junit.xml")
    assert properties(suite)["attn_verdict"] == "ungradable"
    assert not any("points" in name for element in suite.iter() for name in properties(element))


def test_any_words_are_xml(tmp_path: Path) -> None:
    for report in samples.hostile():
        written(report, tmp_path / "junit.xml")


def test_a_file_that_is_not_there_or_not_xml_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "junit.xml"
    junit.add_properties(samples.failed(), config_of(None))
    assert capsys.readouterr().err == ""
    junit.add_properties(samples.failed(), config_of(path))
    path.write_text("<half")
    junit.add_properties(samples.failed(), config_of(path))
    assert capsys.readouterr().err.count("no points were added") == 2
    assert path.read_text() == "<half"
