"""The command `attn-grader watch`, as typed in a shell: results on stdout, and nothing left after Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from pytest_attn_grader.cli.app import app
from pytest_attn_grader.cli.error_exit import EXIT_USAGE
from tests.support.processes import wait_until_ended
from tests.support.runs import clean_environment
from tests.support.students import REFERENCE

NO_SCALE = REFERENCE.replace(" / math.sqrt(query.size(-1))", "")
SECONDS = 120.0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.py"], "missing.py"),
        (["mine.py", "--hints", "all"], "--hints got 'all'; write none, nudge, explain or fix"),
    ],
)
def test_what_cannot_be_watched(
    arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(REFERENCE)
    result = CliRunner().invoke(app, ["watch", *arguments])
    assert result.exit_code == EXIT_USAGE
    assert words in result.output


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the fork server needs Linux")
def test_a_student_watches_saves_and_stops(tmp_path: Path) -> None:
    file, temporary = tmp_path / "my_attention.py", tmp_path / "tmp"
    temporary.mkdir()
    file.write_text(NO_SCALE)
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest_attn_grader.cli.app", "watch", file.name],
        cwd=tmp_path,
        env={**clean_environment(), "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a terminal's Ctrl-C reaches its whole process group
    )
    guard = threading.Timer(SECONDS, process.kill)
    guard.start()
    lines: list[str] = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line.rstrip())
        if line.startswith("FAILED"):
            file.write_text(REFERENCE)
        if line.startswith("was: "):
            break
    below = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate()
    guard.cancel()
    assert (process.returncode, errors) == (0, "")
    assert lines[0] == "watching my_attention.py with mini; Ctrl-C ends"
    assert "was: no-scale, 68 of 100; now: right, 100 of 100" in lines
    assert below
    assert not wait_until_ended(below)
    # torch makes a folder for its compiler in every process.
    assert [path.name for path in temporary.iterdir() if not path.name.startswith("torchinductor")] == []
