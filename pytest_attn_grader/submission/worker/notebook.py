"""Run the code cells of a notebook as a module. Part of the worker."""

from __future__ import annotations

import ast
import asyncio
import builtins
import importlib.abc
import importlib.util
import inspect
import linecache
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from .definitions import (
    ATTENTION_WORDS,
    DEFINITIONS,
    Rest,
    can_be_left_out,
    is_needed,
    names_set_by,
    run_only_definitions,
    run_rest_of_cell,
)
from .failures import WorkerError, truncate
from .ipython_syntax import NotebookCell, read_code_cells, translate_cell

# Cells up to the last of these definitions are run, and those that set one of these names.
_DECLARATIONS = frozenset({"ATTN_MASK"})


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
    vars(module).update(display=_display, get_ipython=_Shell)
    sys.modules[name] = module
    try:
        cells = [translate_cell(source) for source in read_code_cells(file.read_text(encoding="utf-8-sig"))]
    except ValueError:
        remedy = "Save it as a Jupyter notebook, version 4."
        raise WorkerError("no-target", f"{file.name!r} is not a notebook.", remedy=remedy) from None
    written = WrittenModules(name)
    sys.meta_path.append(written)
    try:
        trees = [_parse(cell.source) for cell in cells]
        needed = [(place + 1, cells[place], trees[place]) for place in _select_needed(trees, target)]
        left_out = _run_cells(needed, file, module, written, target, definitions_only)
    except BaseException:
        # As the import system does: half a module must not be found by the next import.
        sys.modules.pop(name, None)
        raise
    return module, left_out


def _run_cells(
    cells: Sequence[tuple[int, NotebookCell, ast.Module]],
    file: Path,
    module: ModuleType,
    written: WrittenModules,
    target: str | None,
    definitions_only: bool,
) -> str | None:
    rest, whole = Rest(), ast.Module([each for _, _, tree in cells for each in tree.body], [])
    first: tuple[int, BaseException] | None = None
    waiting, moved = [*cells], dict[int, str]()
    while waiting:
        number, cell, tree = waiting.pop(0)
        place = f"{file}[cell {number}]"
        if cell.written_file is not None:
            written.add(cell, place)
            continue
        if definitions_only:
            run_only_definitions(tree, place, module, rest)
            continue
        try:
            _run_cell(cell.source, place, module)
        except BaseException as error:
            missing = error.name if isinstance(error, NameError) else None
            place_after = _place_after_definition(missing, waiting)
            if place_after and number not in moved:
                later = waiting[place_after - 1][0]
                moved[number] = f"cell {number} of {file.name} was run after cell {later}, which sets {missing}"
                waiting.insert(place_after, (number, cell, tree))
                continue
            if not can_be_left_out(error, in_notebook=True):
                raise
            run_rest_of_cell(error, tree, place, module, rest)
            first = first or (number, error)
    if (first is not None or definitions_only) and is_needed(module, rest.lost, whole, target):
        raise WorkerError("timeout", "What is graded needs code that does not end.") if first is None else first[1]
    if definitions_only:
        return f"running {file.name} did not end; what is defined was taken without the code around it"
    if first is None:
        return "; ".join(moved.values()) or None
    number, cause = first
    what = truncate(f"{type(cause).__name__}: {cause}".splitlines()[0], 200)
    return f"cell {number} of {file.name} failed ({what}); what is defined was taken without it"


def _place_after_definition(name: str | None, waiting: Sequence[tuple[int, NotebookCell, ast.Module]]) -> int:
    """The place behind the first of the waiting cells that sets a name; 0 where none does.

    A cell that lacks the name was run after that one by its author.
    """
    return next((at for at, (_, _, tree) in enumerate(waiting, 1) if name in names_set_by(tree.body)), 0)


def _select_needed(trees: Sequence[ast.Module], target: str | None) -> list[int]:
    """Places of the cells to run: up to the last that defines or changes what is graded; all where none does.

    A definition may use an import or a helper of a later cell, which is there when it is called.
    """
    names = [names_set_by(tree.body) for tree in trees]
    if target is not None:
        wanted = {target.partition(".")[0]}
    else:
        defined = {each.name for tree in trees for each in tree.body if isinstance(each, DEFINITIONS)}
        wanted = {name for name in defined if any(word in name.lower() for word in ATTENTION_WORDS)} or defined
    if not any(wanted & each for each in names):
        return [*range(len(trees))]
    last = max(place for place, each in enumerate(names) if (wanted | _DECLARATIONS) & each)
    needed, used, known = list[int](), set[str](), set(dir(builtins))
    for place, each in enumerate(names):
        if place <= last or each & (used - known):
            needed.append(place)
            used |= _names_used_in_definitions(trees[place])
            known |= each
    return needed


def _names_used_in_definitions(tree: ast.Module) -> set[str]:
    """Names that functions and classes of a cell read, and do not set themselves."""
    used: set[str] = set()
    for statement in tree.body:
        if isinstance(statement, DEFINITIONS):
            nodes = [*ast.walk(statement)]
            names = [node for node in nodes if isinstance(node, ast.Name)]
            own = {node.id for node in names if not isinstance(node.ctx, ast.Load)}
            own |= {node.arg for node in nodes if isinstance(node, ast.arg)}
            used |= {node.id for node in names} - own
    return used


def _parse(source: str) -> ast.Module:
    """The statements of a cell; none where Python cannot read it."""
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module([], [])


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
