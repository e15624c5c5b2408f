from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pytest_attn_grader.errors import UsageError
from pytest_attn_grader.reports.formats import files
from tests.reports.formats import samples
from tests.support.reports import report_of


def test_a_claim_replaces_what_an_older_run_left(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text('{"score": 100}')
    files.write_placeholders(report_of(reason="the run did not come to its end"), [("gradescope", path)])
    document = json.loads(path.read_text())
    assert "score" not in document
    assert "did not come to its end" in document["output"]
    assert files.write(samples.failed(), [("gradescope", path)])
    assert json.loads(path.read_text())["score"] > 0
    assert os.listdir(tmp_path) == ["results.json"]


@pytest.mark.parametrize(("name", "variable"), [("github", "GITHUB_STEP_SUMMARY"), ("classroom", "GITHUB_OUTPUT")])
def test_a_file_of_the_step_is_appended_to(
    name: str, variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, other = tmp_path / "given", tmp_path / "other"
    monkeypatch.setenv(variable, str(given))
    given.write_text("kept\n")
    other.write_text("kept\n")
    files.write_placeholders(report_of(reason="x"), [(name, given), (name, other)])
    assert given.read_text() == "kept\n"
    assert files.write(samples.failed(), [(name, given), (name, other)])
    assert given.read_text().startswith("kept\n")
    assert given.read_text().removeprefix("kept\n") == other.read_text()


def test_a_run_that_never_began_says_why(tmp_path: Path) -> None:
    files.try_write(report_of(reason="no such module"), "gradescope:r.json\nexercism:missing/e.json", tmp_path)
    assert "no such module" in json.loads((tmp_path / "r.json").read_text())["output"]
    for typed in (None, "", "moodle:x"):
        files.try_write(report_of(reason="x"), typed, tmp_path)
    assert os.listdir(tmp_path) == ["r.json"]


def test_what_cannot_be_written_is_said_before_and_after(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "missing" / "results.json"
    with pytest.raises(UsageError, match=r"--attn-format=gradescope:.*results\.json cannot be written"):
        files.write_placeholders(report_of(), [("gradescope", path)])
    good = tmp_path / "good.json"
    assert not files.write(samples.failed(), [("gradescope", path), ("exercism", good)])
    assert "gradescope could not be written" in capsys.readouterr().err
    assert good.is_file()
