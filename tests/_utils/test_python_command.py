"""Modules are started without the working directory on their path."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pytest_attn_grader._utils.python_command import module_command

PRINTER = "import sys, json\nprint(json.dumps([__name__, sys.argv[1:], [p for p in sys.path if not p]]))\n"


def test_files_of_the_working_directory_are_not_imported(tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    installed.mkdir()
    (installed / "printer.py").write_text(PRINTER)
    for name in ("runpy", "json", "printer", "sitecustomize_of_ours"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a file of the working directory was run')")
    started = subprocess.run(
        module_command("printer", "one", "-m"),
        cwd=tmp_path,
        env={"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert started.returncode == 0, started.stderr
    assert started.stdout.strip() == '["__main__", ["one", "-m"], []]'


def test_it_is_this_python() -> None:
    assert module_command("pytest")[0] == sys.executable
