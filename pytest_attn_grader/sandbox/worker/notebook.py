"""Run the code cells of a notebook as a module. Part of the worker."""

from __future__ import annotations

import ast
import json
import linecache
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from .failures import WorkerError


def load_notebook(file: Path, name: str) -> ModuleType:
    """Run the code cells in order, without lines for IPython or the shell, and return what they define as a module.

    Raises:
        WorkerError: the file is not a notebook.
        BaseException: what a cell raises; its traceback names the cell.
    """
    module = ModuleType(name)
    module.__file__ = str(file)
    sys.modules[name] = module
    try:
        for number, source in enumerate(_code_cells(file), start=1):
            _run_cell(source, number, file, module)
    except BaseException:
        # As the import system does: half a module must not be found by the next import.
        sys.modules.pop(name, None)
        raise
    return module


def _code_cells(file: Path) -> list[str]:
    try:
        cells: list[Any] = json.loads(file.read_text(encoding="utf-8"))["cells"]
        return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError) as error:
        raise WorkerError(
            "no-target",
            f"{file.name!r} is not a notebook: {type(error).__name__}.",
            remedy="Save it as a Jupyter notebook, version 4.",
        ) from None


def _run_cell(source: str, number: int, file: Path, module: ModuleType) -> None:
    source = without_magics(source)
    # What tracebacks and messages show, with the line in the cell; the cache lets them show the line itself.
    place = f"{file}[cell {number}]"
    linecache.cache[place] = (len(source), None, source.splitlines(keepends=True), place)
    exec(compile(source, place, "exec"), vars(module))


def without_magics(source: str) -> str:
    """Replace what only IPython understands (%time, !pip, ?help) by nothing; line numbers stay the same."""
    try:
        ast.parse(source)
    except SyntaxError:
        pass
    else:
        return source  # a line that starts with % may continue a formula
    lines = source.splitlines()
    if lines and lines[0].lstrip().startswith("%%"):
        # A cell magic: %%time runs the rest as Python, the others (bash, html) do not.
        if lines[0].split()[0] not in {"%%time", "%%timeit", "%%capture", "%%prun"}:
            return ""
        lines[0] = ""
    kept = []
    for line in lines:
        plain = line.lstrip()
        special = plain.startswith(("%", "!", "?")) or (plain.endswith("?") and not plain.startswith("#"))
        kept.append(line[: len(line) - len(plain)] + "pass" if special else line)
    return "\n".join(kept) + "\n"
