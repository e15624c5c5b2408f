"""A signed report can be told from one that was changed, and the key is nowhere to be found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pytest_attn_grader.cli.app import app
from pytest_attn_grader.reports import json_report
from pytest_attn_grader.reports.signature import pop_signing_key, sign, verify_signature
from pytest_attn_grader.settings import Settings
from tests.support.reports import check, report_of

KEY = b"correct horse"


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    path = tmp_path / "report.json"
    json_report.claim(report_of(check()), Settings(student="x", report=path), KEY)
    return path


def verify(path: Path, key: str | None, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    monkeypatch.delenv("ATTN_REPORT_KEY", raising=False)
    if key is not None:
        monkeypatch.setenv("ATTN_REPORT_KEY", key)
    done = CliRunner().invoke(app, ["verify", str(path)])
    return done.exit_code, done.output


def test_a_signed_report_is_genuine_whatever_its_layout(signed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exit_code, said = verify(signed, KEY.decode(), monkeypatch)
    assert exit_code == 0, said
    assert said.startswith("genuine: ")
    signed.write_text(json.dumps(json.loads(signed.read_text()), sort_keys=True))
    assert verify(signed, KEY.decode(), monkeypatch)[0] == 0
    assert "ATTN_REPORT_KEY" not in os.environ


@pytest.mark.parametrize("field", ["verdict", "score", "checks", "signature"])
def test_every_change_is_found(field: str, signed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = json.loads(signed.read_text())
    document["attn_grader"][field] = None
    signed.write_text(json.dumps(document))
    exit_code, said = verify(signed, KEY.decode(), monkeypatch)
    assert exit_code == 1
    assert said.startswith("NOT GENUINE")


def test_pytests_own_part_is_signed_too(signed: Path) -> None:
    document = json.loads(signed.read_text())
    assert verify_signature(document, KEY)
    assert not verify_signature({**document, "exitcode": 0}, KEY)
    assert not verify_signature(document, b"other")
    assert not verify_signature({"attn_grader": {"signature": {"algorithm": "none", "value": ""}}}, KEY)
    assert not verify_signature({}, KEY)


@pytest.mark.parametrize(("content", "key"), [("{}", None), ("{}", ""), ("no json", "k"), (None, "k"), ("[]", "k")])
def test_what_cannot_be_verified_is_not_genuine(
    content: str | None, key: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.json"
    if content is not None:
        path.write_text(content)
    assert verify(path, key, monkeypatch)[0] == (1 if content == "[]" else 2)


def test_an_unsigned_report_is_not_genuine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.json"
    json_report.claim(report_of(check()), Settings(student="x", report=path))
    assert json.loads(path.read_text())["attn_grader"]["signature"] is None
    assert verify(path, "k", monkeypatch)[0] == 1


def test_any_text_and_number_survives_the_way_to_the_disk(tmp_path: Path) -> None:
    document = {"tests": [{"a": 0.1 + 0.2, "b": "\ud800 \x00 é", "c": 10**30, 3: "x"}], "attn_grader": {}}
    written = tmp_path / "signed.json"
    written.write_text(json.dumps(sign(document, KEY)))
    assert verify_signature(json.loads(written.read_text()), KEY)


def test_the_key_is_taken_out_of_the_environment() -> None:
    environment = {"ATTN_REPORT_KEY": "k", "OTHER": "o"}
    assert pop_signing_key(environment) == b"k"
    assert environment == {"OTHER": "o"}
    assert pop_signing_key(environment) is None
    assert pop_signing_key({"ATTN_REPORT_KEY": ""}) is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux shows a process's environment there")
def test_the_key_is_not_even_where_the_system_shows_what_a_process_was_started_with() -> None:
    code = (
        "import os\nfrom pytest_attn_grader.reports.signature import pop_signing_key\n"
        "before = open('/proc/self/environ').read()\n"
        "key = pop_signing_key()\nafter = open('/proc/self/environ').read()\n"
        "print(key.decode(), 'sesame' in before, 'sesame' in after, 'ATTN_REPORT_KEY' in os.environ)"
    )
    environment = {**os.environ, "ATTN_REPORT_KEY": "open sesame"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "open sesame True False False\n"
