"""What lies in a student's folder stays out of the grading: conftest.py, ini settings, modules with famous names."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.runs import Run, Warm, clean_environment, graded
from tests.support.students import REFERENCE

FLAG = "import pathlib\npathlib.Path({!r}).touch()\n"
CONFTEST = FLAG.format("conftest-was-here")
INI = """
testpaths = elsewhere
python_files = nothing*.py
python_functions = nothing_*
python_classes = Nothing
norecursedirs = *
addopts = --ignore-glob=*mask* --ignore-glob=*checks* --import-mode=append
"""
EVERYTHING = {
    "student.py": REFERENCE,
    "conftest.py": CONFTEST,
    "elsewhere/test_mine.py": "def nothing_fails(): assert 0\n",
    # `python -m pytest` would find these before the installed ones.
    "tokenizers.py": FLAG.format("tokenizers-was-here"),
    "scipy.py": FLAG.format("scipy-was-here"),
}


def left_behind(run: Run) -> set[str]:
    return {path.name for path in run.folder.glob("*-was-here")}


def beside(files: dict[str, str], ini: str) -> dict[str, str]:
    return {**files, "pytest.ini": f"[pytest]\n{ini}"}


def test_nothing_in_the_folder_takes_part(warm: Warm) -> None:
    run = warm.grade(beside(EVERYTHING, INI + "attn_points = masking = 0\nattn_layer = 1\npythonpath = elsewhere\n"))
    run.assert_tidy()
    assert (run.exit_code, run.verdict) == (0, "passed"), run.text
    assert len(run.checks) == warm.number_of_checks
    assert left_behind(run) == set()
    settings = run.report["settings"]
    assert (settings["points"]["masking"], settings["layer_idx"]) == (20, 0)
    assert (settings["ini_file"], settings["ini_file_ignored"]) == (None, "pytest.ini")
    assert re.search(r"pytest\.ini is ignored.* attn_points, attn_layer", run.stdout)


@pytest.mark.slow
def test_the_tests_of_an_ini_file_that_was_named_are_not_left_out(warm: Warm) -> None:
    run = warm.grade(EVERYTHING, ini=INI + "attn_points = masking = 3\n")
    assert (run.exit_code, run.verdict) == (0, "passed"), run.text
    assert len(run.checks) == warm.number_of_checks
    assert (run.report["settings"]["points"]["masking"], run.report["settings"]["ini_file"]) == (3, "pytest.ini")


def test_an_ini_file_above_the_submission_is_the_courses(warm: Warm) -> None:
    files = beside({"handed_in/student.py": "import nothing_like_this\n"}, "attn_points = masking = 3\n")
    run = warm.grade(files, target="handed_in/student.py")
    assert (run.report["settings"]["points"]["masking"], run.report["settings"]["ini_file"]) == (3, "pytest.ini")


@pytest.mark.parametrize(
    "files",
    [
        {"pytest.ini": "[pytest]\npythonpath = .\naddopts = -p evil -q\n", "evil.py": FLAG.format("evil-was-here")},
        {"pytest.ini": "[pytest]\npythonpath = .\n", "sitecustomize.py": "import json\n"},
    ],
    ids=["plugin", "sitecustomize"],
)
def test_what_pytest_runs_before_any_plugin_is_seen(files: dict[str, str], warm: Warm) -> None:
    """Nothing can undo what has been imported, but nothing is graded after it."""
    environment = {"PYTHONPATH": "."} if "sitecustomize.py" in files else {}
    if environment:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *graded("student.py")],
            cwd=warm.folder({"student.py": REFERENCE, **files}),
            env={**clean_environment(), **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        exit_code, text = done.returncode, done.stderr
    else:
        run = warm.grade({"student.py": REFERENCE, **files})
        exit_code, text = run.exit_code, run.text
    assert exit_code == 4, text
    assert "has been imported into the grading process" in text


@pytest.mark.slow
def test_a_folder_full_of_famous_names(warm: Warm) -> None:
    """Started as `pytest` the folder is not on the path at all, and in the worker libraries come first."""
    names = ("torch", "json", "numpy", "transformers", "sitecustomize", "usercustomize", "random", "math", "_pytest")
    files = {f"{name}.py": FLAG.format(f"{name}-was-here") for name in names}
    folder = warm.folder({"student.py": f"import json, random\n{REFERENCE}", "conftest.py": CONFTEST, **files})
    done = subprocess.run(
        [str(Path(sys.executable).with_name("pytest")), *graded("student.py"), "--attn-sandbox=process"],
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not list(folder.glob("*-was-here"))


@pytest.mark.slow
def test_an_ini_file_that_deselects_makes_no_pass(warm: Warm) -> None:
    run = warm.grade(REFERENCE, ini="addopts = -k contract\n")
    run.assert_ungradable(10, "partial: 4 of ")


@pytest.mark.slow
def test_with_paths_the_folder_was_asked_for(warm: Warm) -> None:
    files = {"student.py": REFERENCE, "conftest.py": CONFTEST, "test_course.py": "def test_a(): pass\n"}
    run = warm.grade(files, "test_course.py", "-k", "test_a or test_import")
    assert left_behind(run) >= {"conftest-was-here"}
    assert "test_course.py ." in run.stdout


@pytest.mark.parametrize(
    ("args", "ini", "collected"),
    [
        ((), "", False),
        (("--log-level=INFO",), "", True),
        ((), "log_cli = true\n", True),
        (("-p", "no:logging"), "", False),
    ],
)
def test_log_records_are_collected_when_an_option_asks_for_them(
    args: tuple[str, ...], ini: str, collected: bool, pytester: pytest.Pytester
) -> None:
    pytester.makepyfile(student=REFERENCE)
    pytester.makeini(f"[pytest]\nattn_student = student.py\nattn_seed = 8\n{ini}")
    config = pytester.parseconfig(*args)
    assert config.pluginmanager.hasplugin("logging") is collected


def test_with_paths_log_records_are_collected(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(student=REFERENCE, test_course="def test_a(caplog): pass")
    config = pytester.parseconfig("--attn-student=student.py", "test_course.py")
    assert config.pluginmanager.hasplugin("logging")
