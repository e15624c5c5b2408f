"""A run whose output cannot be written keeps its verdict, its report and its exit code."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_attn_grader.plugin.output_streams import TolerantStream, tolerate_lost_output
from tests.support.students import REFERENCE

needs_full_device = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full, a device of Linux")


@needs_full_device
def test_a_write_that_fails_sends_the_rest_to_the_null_device() -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        stream = TolerantStream(full)
        stream.write("x" * 100_000)
        stream.flush()
        assert os.path.samestat(os.fstat(full.fileno()), os.stat(os.devnull))


def test_a_stream_that_works_is_written_to() -> None:
    file = io.StringIO()
    stream = TolerantStream(file)
    assert stream.write("a line") == 6
    stream.flush()
    assert file.getvalue() == "a line"
    assert not stream.isatty()


def test_a_closed_stream_is_replaced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    tolerate_lost_output()
    before = sys.stdout, sys.stderr
    assert sys.stdout.name == os.devnull
    tolerate_lost_output()
    assert (sys.stdout, sys.stderr) == before
    sys.stdout.close()


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["closed", "both closed", "pipe", "full"])
def test_a_right_submission_passes(lost: str, tmp_path: Path) -> None:
    if lost == "full" and not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full, a device of Linux")
    (tmp_path / "student.py").write_text(REFERENCE, encoding="utf-8")
    redirected = {"closed": ">&-", "both closed": ">&- 2>&-", "full": "> /dev/full", "pipe": "| head -c 1"}[lost]
    command = (
        f"{sys.executable} -m pytest --attn-student=student.py --attn-model=mini --attn-report=r.json {redirected}"
    )
    shell = ["bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}"]
    run = subprocess.run(shell, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False)
    assert run.returncode == 0, (run.stdout, run.stderr)
    assert json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["attn_grader"]["verdict"] == "passed"
    assert "Traceback" not in run.stderr


@pytest.mark.slow
def test_a_name_outside_the_encoding_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "weiß.py").write_text(REFERENCE, encoding="utf-8")
    ascii_only = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "pytest", "--attn-student=weiß.py", "--attn-model=mini"]
    run = subprocess.run(command, cwd=tmp_path, env=ascii_only, capture_output=True, timeout=200, check=False)
    assert run.returncode == 4
    assert b"PYTHONUTF8=1" in run.stdout + run.stderr
