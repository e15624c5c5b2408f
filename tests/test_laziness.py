"""A pytest run without `--attn-student` must not notice that the plugin is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

HEAVY = {"torch", "transformers", "numpy", "scipy", "matplotlib", "pydantic", "rich", "tokenizers", "safetensors"}
# What reads the options in every run, and nothing behind it.
LIGHT = {"plugin", "plugin.hooks", "plugin.hookspecs", "plugin.stash", "settings", "settings.options"}
SCRIPT = """
import json, sys
import pytest
code = pytest.main(sys.argv[2:])
with open(sys.argv[1], "w") as file:
    json.dump({"code": int(code), "modules": sorted(sys.modules)}, file)
"""


def modules_of(folder: Path, *args: str) -> set[str]:
    """The modules that a pytest run has imported at its end."""
    (folder / "test_nothing.py").write_text("def test_nothing(): pass\n")
    out = folder / "modules.json"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ATTN_", "PYTEST_"))}
    # jaxtyping's plugin imports numpy in every run, which would hide that ours does.
    command = [sys.executable, "-c", SCRIPT, str(out), "-q", "-p", "no:cacheprovider", "-p", "no:jaxtyping", *args]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, timeout=120)
    found = json.loads(out.read_text())
    assert found["code"] == 0
    return set(found["modules"])


def heavy_because_of_us(folder: Path, *args: str) -> set[str]:
    """Heavy packages that are imported with the plugin and not without it."""
    ours = modules_of(folder, *args) - modules_of(folder, "-p", "no:attn_grader")
    return {name.partition(".")[0] for name in ours} & HEAVY


def test_a_run_without_a_student_imports_nothing_heavy(tmp_path: Path) -> None:
    assert heavy_because_of_us(tmp_path) == set()


def test_only_the_light_modules_of_the_package_are_there(tmp_path: Path) -> None:
    prefix = "pytest_attn_grader."
    ours = {name.removeprefix(prefix) for name in modules_of(tmp_path) if name.startswith(prefix)}
    assert ours == LIGHT


def test_the_proof_can_fail(tmp_path: Path) -> None:
    (tmp_path / "careless.py").write_text("import numpy, pydantic\n")
    assert {"numpy", "pydantic"} <= heavy_because_of_us(tmp_path, "-p", "careless")


def test_the_help_and_the_markers_are_listed_without_anything_heavy(tmp_path: Path) -> None:
    for option in ("--help", "--markers"):
        assert not {name.partition(".")[0] for name in modules_of(tmp_path, option)} & {"torch", "transformers"}


def test_collecting_the_checks_loads_no_model(tmp_path: Path) -> None:
    """`--collect-only` shows what would be asked; it starts no worker and needs no torch."""
    (tmp_path / "mine.py").write_text("import os\nos._exit(9)\n")
    report = tmp_path / "report.json"
    modules = modules_of(tmp_path, "--attn-student=mine.py", f"--attn-report={report}", "--collect-only")
    assert not modules & {"torch", "transformers", "scipy", "pytest_attn_grader.submission.remote.autograd"}
    assert not report.exists()
