"""Run the code cells of a notebook as a module. Part of the worker."""

from __future__ import annotations

import ast
import asyncio
import importlib.abc
import importlib.util
import inspect
import json
import linecache
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from .failures import WorkerError
from .ipython_syntax import NotebookCell, translate_cell

# Cells up to the last of these definitions are run, and those that set one of these names.
_DECLARATIONS = frozenset({"ATTN_MASK"})
_ATTENTION = ("attention", "attn", "head", "mha", "gqa", "mqa", "mhsa", "sdpa")


def load_notebook(file: Path, name: str, target: str | None = None) -> ModuleType:
    """Run the code cells in order and return what they define as a module.

    Cells after the last one that defines what is graded are not run: they train, plot and measure.

    Args:
        target: what is graded, where it was named.

    Raises:
        WorkerError: the file is not a notebook.
        BaseException: what a cell raises; its traceback names the cell.
    """
    module = ModuleType(name)
    module.__file__ = str(file)
    vars(module).update(display=_display, get_ipython=_get_ipython)
    sys.modules[name] = module
    cells = [translate_cell(source) for source in _code_cells(file)]
    written = WrittenModules(name)
    sys.meta_path.append(written)
    try:
        for number, cell in enumerate(cells[: _count_needed(cells, target)], start=1):
            if cell.written_file is not None:
                written.add(cell, f"{file}[cell {number}]")
            else:
                _run_cell(cell.source, number, file, module)
    except BaseException:
        # As the import system does: half a module must not be found by the next import.
        sys.modules.pop(name, None)
        raise
    return module


def _code_cells(file: Path) -> list[str]:
    try:
        cells: list[Any] = json.loads(file.read_text(encoding="utf-8-sig"))["cells"]
        return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError) as error:
        raise WorkerError(
            "no-target",
            f"{file.name!r} is not a notebook: {type(error).__name__}.",
            remedy="Save it as a Jupyter notebook, version 4.",
        ) from None


def _count_needed(cells: Sequence[NotebookCell], target: str | None) -> int:
    """Number of cells to run: up to the last that defines or changes what is graded; all where none does."""
    names = [_names_set_by(cell) for cell in cells]
    defined = [{name for name, is_definition in each.items() if is_definition} for each in names]
    if target is not None:
        wanted = {target.partition(".")[0]}
    else:
        everything = set[str]().union(*defined)
        wanted = {name for name in everything if any(word in name.lower() for word in _ATTENTION)} or everything
    if not any(wanted & each.keys() for each in names):
        return len(cells)
    needed = [index for index, each in enumerate(names) if (wanted | _DECLARATIONS) & each.keys()]
    return needed[-1] + 1


def _names_set_by(cell: NotebookCell) -> dict[str, bool]:
    """Names that a cell sets at its top level, and whether each is a definition of a function or class."""
    try:
        tree = ast.parse(cell.source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    found: dict[str, bool] = {}
    for statement in tree.body:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found[statement.name] = True
        elif isinstance(statement, (ast.Import, ast.ImportFrom)):
            found.update({alias.asname or alias.name: False for alias in statement.names})
        elif isinstance(statement, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            # An attribute of a class (Attention.forward = …) changes the class.
            found.update({name: False for each in targets if (name := _root_name(each)) is not None})
    return found


def _root_name(target: ast.expr) -> str | None:
    while isinstance(target, (ast.Attribute, ast.Subscript)):
        target = target.value
    return target.id if isinstance(target, ast.Name) else None


def _run_cell(source: str, number: int, file: Path, module: ModuleType) -> None:
    # What tracebacks and messages show, with the line in the cell; the cache lets them show the line itself.
    place = f"{file}[cell {number}]"
    linecache.cache[place] = (len(source), None, source.splitlines(keepends=True), place)
    code: CodeType = compile(source, place, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if code.co_flags & inspect.CO_COROUTINE:
        asyncio.run(eval(code, vars(module)))
    else:
        exec(code, vars(module))


class WrittenModules(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """The modules that cells write with ``%%writefile``: found by name, nothing is written to disk."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._sources: dict[str, tuple[str, str]] = {}

    def add(self, cell: NotebookCell, place: str) -> None:
        """Take up what a cell writes; a file that is written again is replaced."""
        assert cell.written_file is not None
        name = Path(cell.written_file).stem
        # The magic's own line is the first of the cell: with it the line numbers are the cell's.
        source = "\n" + cell.written_text
        self._sources[name] = (source, place)
        linecache.cache[place] = (len(source), None, source.splitlines(keepends=True), place)
        sys.modules.pop(name, None)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self._sources:
            return None
        return importlib.util.spec_from_loader(fullname, self, origin=self._sources[fullname][1])

    def get_source(self, fullname: str) -> str:
        return self._sources[fullname][0]

    def exec_module(self, module: ModuleType) -> None:
        source, place = self._sources[module.__spec__.name if module.__spec__ else module.__name__]
        module.__file__ = place
        # What it defines counts as the notebook's own.
        vars(module)["__name__"] = self._owner
        exec(compile(source, place, "exec"), vars(module))


def _display(*shown: object, **options: object) -> None:
    """IPython's display. It shows nothing: the worker has no screen."""


class _Shell:
    """IPython's shell: whatever it is asked for does nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments, **options: None


def _get_ipython() -> _Shell:
    return _Shell()
