from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

from pytest_attn_grader._utils.memory import peak_rss_bytes

MEBIBYTE = 2**20


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_it_is_what_was_held_at_once_and_not_what_is_held_now() -> None:
    before, after = run_python(
        "from pytest_attn_grader._utils.memory import peak_rss_bytes as peak; print(peak())\n"
        "held = b'1' * 200 * 2**20; del held; print(peak())"
    ).split()
    assert 190 * MEBIBYTE < int(after) - int(before) < 260 * MEBIBYTE


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="where `getrusage` keeps a figure through `exec`")
def test_a_small_program_started_by_a_large_one_is_small() -> None:
    small = "from pytest_attn_grader._utils.memory import peak_rss_bytes as peak; print(peak())"
    said = run_python(
        "import subprocess, sys\n"
        "held = b'1' * 400 * 2**20\n"
        f"subprocess.run([sys.executable, '-c', {small!r}], check=True)"
    )
    assert 1 * MEBIBYTE < int(said) < 100 * MEBIBYTE


def test_of_another_process() -> None:
    ready = [sys.executable, "-c", "print('ready', flush=True); input()"]
    with subprocess.Popen(ready, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        held = psutil.Process(other.pid).memory_info().rss
        assert held <= (peak_rss_bytes(other.pid) or 0) < held + 50 * MEBIBYTE
        other.kill()


def test_of_nobody() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as other:
        other.wait()
    assert peak_rss_bytes(other.pid) is None
