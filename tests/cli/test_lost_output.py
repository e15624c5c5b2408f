"""`attn-grader` where its output or the names of files cannot be written as they are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_attn_grader.reports import json_report
from pytest_attn_grader.reports.formats import find_format
from tests.reports.formats import samples
from tests.support.runs import clean_environment
from tests.support.students import REFERENCE

pytestmark = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs bash and /dev/full, a device of Linux")

COMMAND = f"{sys.executable} -m pytest_attn_grader.cli.app"
# How standard output and standard error are lost.
LOST = {
    "closed": ">&-",
    "both closed": ">&- 2>&-",
    "full": "> /dev/full",
    "both full": "> /dev/full 2> /dev/full",
    "pipe": "2> /dev/null | head -c 0",
}
# The encodings of terminals, and of file names in the locale C.
ENCODINGS = {
    "C": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    "ascii": {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    "cp1252": {"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"},
}
NAME = "na\u00efve \u2705"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a report, and a class with a submission that is not code."""
    report = samples.failed().model_copy(update={"reason": NAME})
    json_report.try_write(report, tmp_path / "report.json")
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / f"{NAME}.txt").write_text("words", encoding="utf-8")
    return tmp_path


def run(folder: Path, arguments: str, **environment: str) -> tuple[int, bytes, str]:
    shell = ["bash", "-c", f"{COMMAND} {arguments}; exit ${{PIPESTATUS[0]}}"]
    done = subprocess.run(
        shell, cwd=folder, env={**clean_environment(), **environment}, capture_output=True, timeout=100, check=False
    )
    errors = done.stderr.decode(errors="replace")
    assert "Traceback" not in errors
    assert "Exception" not in errors
    return done.returncode, done.stdout, errors


@pytest.mark.sampled(3)
@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize(
    "arguments",
    ["convert report.json --to gradescope", "explain", "schema"],
)
def test_a_command_whose_result_is_lost_says_so(arguments: str, lost: str, folder: Path) -> None:
    code, _, errors = run(folder, f"{arguments} {LOST[lost]}")
    if lost == "pipe":
        # Whether the reader leaves before or after the last byte is a matter of time.
        assert code in {0, 1}
    else:
        assert code == 2
    if lost in {"closed", "full"}:
        reason = "Bad file descriptor" if lost == "closed" else "No space left on device"
        assert reason in errors
        assert errors.count("\n") == 1


@pytest.mark.sampled(2)
@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize(
    ("arguments", "code", "written"),
    [
        ("grade class --out graded", 10, "graded/gradebook.csv"),
        ("init course", 0, "course/.github/workflows/grade.yml"),
        ("gradescope-zip --out autograder.zip", 0, "autograder.zip"),
        ("convert report.json --to exercism --out results.json", 0, "results.json"),
        ("--help", 0, ""),
    ],
)
def test_a_command_that_writes_files_writes_them_all(
    arguments: str, code: int, written: str, lost: str, folder: Path
) -> None:
    assert run(folder, f"{arguments} {LOST[lost]}")[0] == code
    assert not written or (folder / written).stat().st_size > 0


@pytest.mark.parametrize("lost", ["closed", "full"])
def test_nothing_is_watched_without_output(lost: str, folder: Path) -> None:
    (folder / "attention.py").write_text(REFERENCE, encoding="utf-8")
    code, _, errors = run(folder, f"watch attention.py {LOST[lost]}")
    assert code == 2
    assert errors.startswith("standard output: ")


@pytest.mark.slow
def test_a_watch_whose_reader_left_ends(folder: Path) -> None:
    (folder / "attention.py").write_text(REFERENCE, encoding="utf-8")
    code, printed, errors = run(folder, "watch attention.py | head -n 1")
    assert (code, printed, errors) == (1, b"watching attention.py with mini; Ctrl-C ends\n", "")


@pytest.mark.sampled(1)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_no_encoding_loses_anything(encoding: str, folder: Path) -> None:
    environment = ENCODINGS[encoding]
    code, _, errors = run(folder, "grade class --out graded", **environment)
    assert code == 10
    assert "is not a .py, .ipynb or .zip file" in " ".join(errors.split())
    assert f"{NAME},,ungradable" in (folder / "graded" / "gradebook.csv").read_text(encoding="utf-8-sig")
    code, document, _ = run(folder, "convert report.json --to prairielearn", **environment)
    assert code == 0
    assert document == find_format("prairielearn").render(json_report.load_report(folder / "report.json")).encode(
        "utf-8"
    )
    assert run(folder, "explain no-scale", **environment)[0] == 0
    assert run(folder, f"init '{NAME}'", **environment)[0] == 0
    assert (folder / NAME / "my_attention.py").exists()


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_submission_is_graded_whatever_its_name(encoding: str, folder: Path) -> None:
    (folder / "class" / f"{NAME}.txt").unlink()
    (folder / "class" / f"{NAME}.py").write_text(f"# {NAME}\n{REFERENCE}", encoding="utf-8")
    code, _, errors = run(folder, "grade class --out graded", **ENCODINGS[encoding])
    assert code == 0, errors
    assert f"{NAME},,passed" in (folder / "graded" / "gradebook.csv").read_text(encoding="utf-8-sig")
