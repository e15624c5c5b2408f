"""Run the code cells of a notebook as a module. Part of the worker."""

from __future__ import annotations

import ast
import asyncio
import builtins
import importlib.abc
import importlib.util
import inspect
import json
import linecache
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from .definitions import Rest, can_be_left_out, is_needed, run_only_definitions, run_rest_of_cell
from .failures import WorkerError, truncate
from .ipython_syntax import NotebookCell, translate_cell

# Cells up to the last of these definitions are run, and those that set one of these names.
_DECLARATIONS = frozenset({"ATTN_MASK"})
_ATTENTION = ("attention", "attn", "head", "mha", "gqa", "mqa", "mhsa", "sdpa")


def load_notebook(
    file: Path, name: str, target: str | None = None, *, definitions_only: bool = False
) -> tuple[ModuleType, str | None]:
    """Run the code cells in order and return what they define as a module, and what was left out, in words.

    Cells after the last one that defines what is graded are not run, because they train, plot and measure, except those
    that set a name which a definition before them uses. What fails before it is left out where what is graded does not
    need it.

    Args:
        target: what is graded, where it was named.
        definitions_only: run nothing of the cells but their definitions.

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
        needed = _select_needed(cells, target)
        left_out = _run_cells(
            {number: cells[number - 1] for number in needed}, file, module, written, target, definitions_only
        )
    except BaseException:
        # As the import system does: half a module must not be found by the next import.
        sys.modules.pop(name, None)
        raise
    return module, left_out


def _run_cells(
    cells: Mapping[int, NotebookCell],
    file: Path,
    module: ModuleType,
    written: WrittenModules,
    target: str | None,
    definitions_only: bool,
) -> str | None:
    rest, whole = Rest(), ast.Module([], [])
    first: tuple[int, BaseException] | None = None
    for number, cell in cells.items():
        place = f"{file}[cell {number}]"
        if cell.written_file is not None:
            written.add(cell, place)
            continue
        tree = _parse(cell.source)
        whole.body += tree.body
        if definitions_only:
            run_only_definitions(tree, place, module, rest)
            continue
        try:
            _run_cell(cell.source, place, module)
        except BaseException as error:
            if not can_be_left_out(error, in_notebook=True):
                raise
            run_rest_of_cell(error, tree, place, module, rest)
            first = first or (number, error)
    if (first is not None or definitions_only) and is_needed(module, rest.lost, whole, target):
        raise WorkerError("timeout", "What is graded needs code that does not end.") if first is None else first[1]
    if definitions_only:
        return f"running {file.name} did not end; what is defined was taken without the code around it"
    if first is None:
        return None
    number, cause = first
    what = truncate(f"{type(cause).__name__}: {cause}".splitlines()[0], 200)
    return f"cell {number} of {file.name} failed ({what}); what is defined was taken without it"


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


def _select_needed(cells: Sequence[NotebookCell], target: str | None) -> list[int]:
    """Numbers of the cells to run: up to the last that defines or changes what is graded; all where none does.

    A definition may use an import or a helper of a later cell, which is there when it is called.
    """
    names = [_names_set_by(cell) for cell in cells]
    defined = [{name for name, is_definition in each.items() if is_definition} for each in names]
    if target is not None:
        wanted = {target.partition(".")[0]}
    else:
        everything = set[str]().union(*defined)
        wanted = {name for name in everything if any(word in name.lower() for word in _ATTENTION)} or everything
    if not any(wanted & each.keys() for each in names):
        return [*range(1, len(cells) + 1)]
    last = max(index for index, each in enumerate(names) if (wanted | _DECLARATIONS) & each.keys())
    needed, used, known = list[int](), set[str](), set(dir(builtins))
    for index, each in enumerate(names):
        if index <= last or each.keys() & (used - known):
            needed.append(index + 1)
            used |= _names_used_in_definitions(cells[index])
            known |= each.keys()
    return needed


def _names_used_in_definitions(cell: NotebookCell) -> set[str]:
    """Names that functions and classes of a cell read, and do not set themselves."""
    used: set[str] = set()
    for statement in _parse(cell.source).body:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            nodes = [*ast.walk(statement)]
            names = [node for node in nodes if isinstance(node, ast.Name)]
            own = {node.id for node in names if not isinstance(node.ctx, ast.Load)}
            own |= {node.arg for node in nodes if isinstance(node, ast.arg)}
            used |= {node.id for node in names} - own
    return used


def _names_set_by(cell: NotebookCell) -> dict[str, bool]:
    """Names that a cell sets at its top level, and whether each is a definition of a function or class."""
    found: dict[str, bool] = {}
    for statement in _parse(cell.source).body:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found[statement.name] = True
        elif isinstance(statement, (ast.Import, ast.ImportFrom)):
            found.update({alias.asname or alias.name: False for alias in statement.names})
        elif isinstance(statement, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            # An attribute of a class (Attention.forward = …) changes the class.
            found.update({name: False for each in targets if (name := _root_name(each)) is not None})
    return found


def _parse(source: str) -> ast.Module:
    """The statements of a cell; none where Python cannot read it."""
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module([], [])


def _root_name(target: ast.expr) -> str | None:
    while isinstance(target, (ast.Attribute, ast.Subscript)):
        target = target.value
    return target.id if isinstance(target, ast.Name) else None


def _run_cell(source: str, place: str, module: ModuleType) -> None:
    # What tracebacks and messages show, with the line in the cell; the cache lets them show the line itself.
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
