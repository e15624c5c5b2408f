"""The autograder's archive, unpacked and run as Gradescope does it, in a folder of ours instead of /autograder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import Any

import pytest

from pytest_attn_grader.cli.init.gradescope import build_autograder
from pytest_attn_grader.errors import UsageError
from tests.support.runs import clean_environment

ROOT = Path(__file__).parents[3]


def test_the_archive_has_both_scripts_at_its_root_and_they_can_be_run(tmp_path: Path) -> None:
    build_autograder(tmp_path / "a.zip", student="week1.py:attention")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        modes = {entry.filename: entry.external_attr >> 16 & 0o777 for entry in archive.infolist()}
        texts = {name: archive.read(name).decode() for name in modes}
    assert modes == {"setup.sh": 0o755, "run_autograder": 0o755, "pytest.ini": 0o644, "README.md": 0o644}
    assert '--attn-student="$root/submission/week1.py:attention"' in texts["run_autograder"]
    assert not any("@@" in text or "\r" in text for text in texts.values())
    for name in ("setup.sh", "run_autograder"):
        assert texts[name].startswith("#!/usr/bin/env bash\n")
        subprocess.run(["bash", "-n"], input=texts[name], text=True, check=True)


def test_the_same_words_make_the_same_archive(tmp_path: Path) -> None:
    for name in ("a.zip", "b.zip"):
        build_autograder(tmp_path / name)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["a.zip", "b.zip"]


@pytest.mark.parametrize("words", [{"student": '"; id"'}, {"student": "../x.py"}, {"model": "$(id)"}, {"grader": ""}])
def test_words_are_no_commands(words: dict[str, str], tmp_path: Path) -> None:
    if words == {"grader": ""}:
        words = {"grader": "x\nid"}
    with pytest.raises(UsageError, match="in a script"):
        build_autograder(tmp_path / "a.zip", **words)
    assert os.listdir(tmp_path) == []


def test_a_wheel_must_be_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a wheel"):
        build_autograder(tmp_path / "a.zip", wheel=tmp_path / "missing.whl")


class Gradescope:
    """/autograder, somewhere else."""

    def __init__(self, root: Path, archive: Path) -> None:
        self.root = root
        for name in ("source", "submission", "results"):
            (root / name).mkdir(parents=True)
        with zipfile.ZipFile(archive) as unpacked:
            unpacked.extractall(root / "source")
        self.environment = {
            **clean_environment(),
            "AUTOGRADER_ROOT": str(root),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            # torch and the others are here already; only the grader itself is installed, from its wheel.
            "PYTHONPATH": sysconfig.get_paths()["purelib"],
            "ATTN_GRADER_PIP": "--no-index --no-deps --force-reinstall",
        }

    def run(self, script: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", str(script)], env=self.environment, cwd=self.root, capture_output=True, text=True, check=False,
            timeout=250,
        )  # fmt: skip

    def grade(self, source: str | None, name: str = "my_attention.py") -> tuple[int, dict[str, Any]]:
        for old in (*(self.root / "submission").iterdir(), *(self.root / "results").iterdir()):
            old.unlink()
        if source is not None:
            (self.root / "submission" / name).write_text(source)
        ran = self.run(self.root / "source" / "run_autograder")
        return ran.returncode, json.loads((self.root / "results" / "results.json").read_text())


@pytest.mark.slow
def test_as_gradescope_runs_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path / "dist"), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=250)
    (wheel,) = (tmp_path / "dist").iterdir()
    build_autograder(tmp_path / "a.zip", wheel=wheel)
    gradescope = Gradescope(tmp_path / "autograder", tmp_path / "a.zip")
    built = gradescope.run(gradescope.root / "source" / "setup.sh")
    assert built.returncode == 0, built.stdout + built.stderr
    installed = gradescope.root / "venv"
    assert list(installed.glob("lib/*/site-packages/pytest_attn_grader/plugin/hooks.py"))

    code, results = gradescope.grade((ROOT / "examples/reference.py").read_text())
    assert (code, results["score"]) == (0, 100), results["output"]
    code, results = gradescope.grade((ROOT / "examples/student/wrong_scale.py").read_text())
    assert code == 0
    assert 0 < results["score"] < 100
    assert "divides the scores by head_dim" in results["output"]
    # The wrong file: no zero, and the instructor learns why.
    code, results = gradescope.grade("", name="other.py")
    assert code == 4
    assert "score" not in results
    assert "there is no file" in results["output"]
