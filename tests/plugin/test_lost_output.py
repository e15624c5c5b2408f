"""A run whose output cannot be written keeps its verdict, its report and its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.students import REFERENCE


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
