"""What only a whole run shows: forged reports, changed exit codes, a sandbox that cannot be had."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from pytest_attn_grader.sandbox import bubblewrap
from tests.support.runs import Warm, graded
from tests.support.sandboxes import left_in
from tests.support.students import REFERENCE

# A daemon that waits for the report and writes another one over it, as often as it can.
FORGER = """
import os, time
from pathlib import Path

if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 3)
        while True:
            if Path("report.json").exists():
                Path("report.json").write_text('{"attn_grader": {"verdict": "passed"}}')
            time.sleep(0.01)
    os._exit(0)

def attention(query, key, value, mask=None):
    return value * 0
"""
CHEATS = """
import atexit, builtins, os, sys
import pytest

atexit.register(os._exit, 0)
sys.exit = os._exit = lambda code=0: None
pytest.fail = pytest.exit = lambda *args, **kwargs: None
builtins.AssertionError = Warning
print("::set-output name=verdict::passed")
print("54 passed in 1.00s")

def attention(query, key, value, mask=None):
    return value * 0
"""
# Two candidates are a question on the terminal: names are any text.
ODD_NAMES = """
for name in ("attention\\x1b[2J\\n::error::forged", "attention\\u202e\\n##[error]forged"):
    globals()[name] = type(attention)(attention.__code__, globals(), name, attention.__defaults__)
del attention
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere a daemon survives")
@pytest.mark.parametrize("tier", ["process", "bwrap"])
def test_a_daemon_that_waits_for_the_report(tier: str, warm: Warm) -> None:
    if tier == "bwrap" and bubblewrap.unavailable_reason():
        pytest.skip(bubblewrap.unavailable_reason())
    run = warm.grade(FORGER, f"--attn-sandbox={tier}")
    assert (run.exit_code, run.verdict) == (1, "failed"), run.text
    assert run.report["sandbox"]["tier"] == tier
    assert not left_in(run.folder)


@pytest.mark.slow
def test_neither_verdict_nor_exit_code_can_be_changed(warm: Warm) -> None:
    run = warm.grade(CHEATS)
    run.assert_tidy()
    assert (run.exit_code, run.verdict, run.report["exit_code"]) == (1, "failed", 1)
    assert not any(line.strip().startswith("::") for line in run.text.splitlines())


@pytest.mark.slow
def test_names_of_functions_are_no_orders(warm: Warm) -> None:
    run = warm.grade(REFERENCE + ODD_NAMES)
    assert (run.exit_code, run.verdict) == (4, "ungradable"), run.text
    assert "2 functions could be graded: attention\\x1b[2J" in run.text
    assert not {"\x1b", "\u202e"} & set(run.text)
    assert not any(line.strip().startswith(("::", "##")) for line in run.text.splitlines())


@pytest.mark.slow
def test_a_source_of_hundreds_of_megabytes_is_not_searched(warm: Warm) -> None:
    """Not even for the model that suits it, which is chosen before the submission runs."""
    folder = warm.folder({"student.py": ""})
    os.truncate(folder / "student.py", 300 << 20)
    run = warm.pytest(*graded("student.py"), "--attn-model=auto", "--attn-sandbox=process", folder=folder)
    run.assert_failed("contract.import")
    assert run.report["peak_memory_bytes"] < 1 << 30
    assert run.seconds < 60


@pytest.mark.slow
def test_a_submission_that_is_imported_once_only_has_failed(warm: Warm) -> None:
    """The diagnosis imports it again: that this fails is the submission's fault, and no reason to grade nothing."""
    once = "import pathlib\nif pathlib.Path('mark').exists():\n    raise OSError\npathlib.Path('mark').touch()\n"
    run = warm.grade(once + REFERENCE.replace(" / math.sqrt(query.size(-1))", ""), "--attn-sandbox=process")
    assert (run.exit_code, run.verdict) == (1, "failed"), run.text


@pytest.mark.slow
def test_a_sandbox_that_cannot_be_had_grades_nothing(warm: Warm, tmp_path: Path) -> None:
    """Without bubblewrap on the path; nothing of the submission is run, and it loses no points."""
    without = os.pathsep.join(
        folder for folder in os.environ["PATH"].split(os.pathsep) if not (Path(folder) / "bwrap").exists()
    )
    source = "import pathlib\npathlib.Path('was-here').touch()\n" + REFERENCE
    run = warm.grade(source, "--attn-require-sandbox", environment={"PATH": without})
    run.assert_ungradable(10, "--attn-require-sandbox=bwrap", "bubblewrap is not installed")
    assert run.report["score"]["possible"] == 0
    assert not (run.folder / "was-here").exists()
    assert "sandbox: none that will do" in run.stdout


@pytest.mark.slow
def test_a_breakpoint_stops_in_the_students_code(warm: Warm) -> None:
    """What the tier `none` is for."""
    source = REFERENCE.replace("    scores =", "    breakpoint()\n    scores =", 1)
    run = warm.grade(source, "--attn-sandbox=none", "-k", "test_callable or contract.call", typed="p 'here'\nq\n")
    assert "-> scores = query @ key.transpose(-2, -1)" in run.stdout
    assert "'here'" in run.stdout
    assert "sandbox: none (asked for" in run.stdout
    assert run.report["sandbox"]["tier"] in {"none", None}
