from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_attn_grader.errors import UsageError
from pytest_attn_grader.reports import json_report
from pytest_attn_grader.settings.settings import Settings
from tests.support.reports import check, report_of, validate

NO_JSON_REPORT: Any = SimpleNamespace()


def settings_for(path: Path | None) -> Settings:
    return Settings(student="mine", report=path)


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_a_claim_is_a_whole_report(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    json_report.write_placeholder(report_of(reason="the run did not come to its end"), settings_for(path))
    document = read(path)
    validate(document)
    assert document["attn_grader"]["verdict"] == "ungradable"
    assert document["exitcode"] is None
    assert os.listdir(tmp_path) == ["report.json"]


def test_without_a_path_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    json_report.write_placeholder(report_of(), settings_for(None))
    assert json_report.write(report_of(), NO_JSON_REPORT, settings_for(None))
    json_report.try_write(report_of(), None)
    assert os.listdir(tmp_path) == []


def test_the_report_of_pytest_json_report_is_kept_and_ours_added(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    collected = {
        "created": 1.0,
        "duration": 2.0,
        "exitcode": 99,
        "root": "/r",
        "environment": {"CI": "1"},
        "summary": {"total": 3},
        "tests": [{"nodeid": "a", "metadata": {"loss": float("nan"), "where": Path("/x"), (1, 2): 3}}],
    }
    config: Any = SimpleNamespace(_json_report=SimpleNamespace(report=collected))
    assert json_report.write(report_of(check(), exit_code=0), config, settings_for(path))
    document = read(path)
    validate(document)
    assert document["exitcode"] == document["attn_grader"]["exit_code"] == 0
    assert document["tests"] == [{"nodeid": "a", "metadata": {"loss": "nan", "where": "/x"}}]
    assert document["summary"] == {"total": 3}


def test_nan_is_written_as_a_word(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    evidence = {"worst": float("nan"), "all": [float("inf"), {"x": float("-inf")}]}
    assert json_report.write(report_of(check(evidence=evidence)), NO_JSON_REPORT, settings_for(path))
    written = read(path)["attn_grader"]["checks"][0]["evidence"]
    assert written == {"worst": "nan", "all": ["inf", {"x": "-inf"}]}


def test_a_row_of_numbers_is_one_line_and_strings_stay(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    evidence = {"matrix": [[1.0, -2e-05], [3, "nan"]], "text": "[\n 1,\n 2\n]", "empty": []}
    assert json_report.write(report_of(check(evidence=evidence)), NO_JSON_REPORT, settings_for(path))
    assert read(path)["attn_grader"]["checks"][0]["evidence"] == evidence
    assert "[1.0, -2e-05]" in path.read_text()


def test_any_text_is_written(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    odd = "naïve 🙂 \x1b[31m \x00 \ud800"
    assert json_report.write(report_of(reason=odd), NO_JSON_REPORT, settings_for(path))
    assert read(path)["attn_grader"]["reason"] == odd.replace("\ud800", "\\ud800")
    path.read_bytes().decode("utf-8")
    assert "\\ud800" not in path.read_text().replace("\\\\", "")


@pytest.mark.parametrize("broken", ["replace", "fsync", "chmod"])
def test_a_reader_never_sees_half_a_report(broken: str, tmp_path: Path, monkeypatch, capsys) -> None:
    path = tmp_path / "report.json"
    path.write_text("the old report")

    def refuse(*_: object) -> None:
        # Until the last step the old report is there, whole.
        assert path.read_text() == "the old report"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, broken, refuse)
    assert not json_report.write(report_of(), NO_JSON_REPORT, settings_for(path))
    assert path.read_text() == "the old report"
    assert os.listdir(tmp_path) == ["report.json"]
    expected = f"attn-grader: the report {path} could not be written: No space left on device\n"
    assert capsys.readouterr().err == expected
    with pytest.raises(UsageError):
        json_report.write_placeholder(report_of(), settings_for(path))
    json_report.try_write(report_of(), path)
    assert path.read_text() == "the old report"
    assert os.listdir(tmp_path) == ["report.json"]


def test_an_interrupt_leaves_nothing_behind(tmp_path: Path, monkeypatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        json_report.write(report_of(), NO_JSON_REPORT, settings_for(tmp_path / "report.json"))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("where", "why"),
    [
        ("missing/report.json", "No such file or directory"),
        ("file/report.json", "Not a directory"),
        (".", "Is a directory"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="the system's own words")
def test_a_path_that_cannot_be_written(where: str, why: str, tmp_path: Path, capsys) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / where
    with pytest.raises(UsageError) as caught:
        json_report.write_placeholder(report_of(), settings_for(path))
    assert str(caught.value).startswith(f"--attn-report={path} cannot be written ({why}). Choose")
    assert not json_report.write(report_of(), NO_JSON_REPORT, settings_for(path))
    assert why in capsys.readouterr().err
    json_report.try_write(report_of(), path)
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.skipif(os.name != "posix", reason="file modes")
def test_a_report_is_as_readable_as_any_file(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    before = os.umask(0o027)
    try:
        json_report.write_placeholder(report_of(), settings_for(path))
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize(("installed", "already"), [(True, False), (True, True), (False, False)])
def test_pytest_json_report_is_asked_to_collect_without_a_file_of_its_own(installed: bool, already: bool) -> None:
    option = SimpleNamespace(json_report=already, json_report_file=".report.json", json_report_verbosity=None)
    config: Any = SimpleNamespace(pluginmanager=SimpleNamespace(hasplugin=lambda name: installed), option=option)
    json_report.enable_json_report(config)
    assert option.json_report == installed
    # Someone who asked for that file gets it.
    assert option.json_report_file == (None if installed and not already else ".report.json")
