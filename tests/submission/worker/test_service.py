"""The code of a worker stands on its own."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[3] / "pytest_attn_grader"
LIBRARIES = {*sys.stdlib_module_names, "torch", "safetensors"}
# What is imported from beside a module, and by the service from the sandbox's part of the worker.
BESIDE = {"sandbox/worker": {1: None}, "submission/worker": {1: None, 3: "sandbox.worker."}}


@pytest.mark.parametrize("folder", BESIDE)
def test_what_runs_in_a_worker_imports_libraries_and_what_runs_there(folder: str) -> None:
    found = []
    for path in (PACKAGE / folder).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found += [(path.name, each.name) for each in node.names if each.name.split(".")[0] not in LIBRARIES]
            elif isinstance(node, ast.ImportFrom) and node.level:
                above = BESIDE[folder].get(node.level, "-")
                found += [(path.name, str(node.module))] * (
                    above is not None and not str(node.module).startswith(above)
                )
            elif isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] not in LIBRARIES:
                found.append((path.name, str(node.module)))
    assert not found
