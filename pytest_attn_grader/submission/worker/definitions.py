"""Keep the definitions of a file whose other top-level code fails or runs too long. Part of the worker.

Files train, open data, parse arguments and plot where they are imported. What is graded may stand beside that and not
need it. A file is run as Python runs it; only when a statement fails, the definitions after it are run alone.
"""

from __future__ import annotations

import ast
import builtins
import dis
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from traceback import walk_tb
from types import CodeType, FunctionType, ModuleType
from typing import Any

import torch

from .failures import PACKAGE, WorkerError, packages_of, truncate

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_IMPORTS = (ast.Import, ast.ImportFrom)
_KEPT = (*DEFINITIONS, *_IMPORTS, ast.Assign, ast.AnnAssign, ast.AugAssign, ast.If, ast.Try)
# In the names of what is graded.
ATTENTION_WORDS = ("attention", "attn", "head", "mha", "gqa", "mqa", "mhsa", "sdpa")
# The grader itself may not be imported, and a limit that is reached stays reached.
_GRADER = ("pytest_attn_grader", "_attn_sandbox")


@dataclass
class Rest:
    """The statements of a file that did not run, and the names that are lost with them."""

    lines: list[int] = field(default_factory=list)
    lost: set[str] = field(default_factory=set)

    def add(self, statement: ast.stmt, error: BaseException | None = None, module: ModuleType | None = None) -> None:
        """Leave a statement out. What could not be imported into a module fails where it is used, if it is."""
        self.lines.append(statement.lineno)
        names = names_set_by([statement])
        if module is None or not isinstance(error, ImportError) or not isinstance(statement, _IMPORTS):
            self.lost |= names
        else:
            vars(module).update((name, MissingImport(error)) for name in names - {*vars(module)})


class MissingImport:
    """Stands for what could not be imported: using it raises the error of the import; in annotations it may stand."""

    def __init__(self, error: ImportError) -> None:
        self._error = error

    def __call__(self, *_: object, **__: object) -> None:
        raise type(self._error)(*self._error.args, name=self._error.name, path=self._error.path)

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)
        self()

    def _annotation(self, _: object) -> MissingImport:
        return self

    __getitem__ = __or__ = __ror__ = _annotation


def can_be_left_out(error: BaseException, *, in_notebook: bool = False) -> bool:
    """Tell whether what failed at the top level may be left out: data, downloads, arguments, plots, training.

    Args:
        in_notebook: cells that mount a drive of Colab are usual there, and no part of what is handed in.
    """
    if isinstance(error, SystemExit):
        return "argparse" in packages_of(error)
    if isinstance(error, ImportError):
        # A part of what was handed in is missing, or it is a notebook of Colab: its author has to know.
        here = (*_GRADER, PACKAGE) if in_notebook else (*_GRADER, PACKAGE, "google")
        is_incomplete = "relative import" in str(error) or (error.name or "").startswith(here)
        return not is_incomplete and not any(each in str(error) for each in _GRADER)
    return isinstance(error, Exception) and not isinstance(
        error, (SyntaxError, MemoryError, RecursionError, WorkerError, torch.OutOfMemoryError)
    )


def run_definitions_after(error: BaseException, file: Path, module: ModuleType, target: str | None) -> str:
    """Run the definitions after the statement that failed, and say what was left out.

    Raises:
        BaseException: the error, where what is graded needs a statement that was left out.
    """
    tree = _parse(file)
    line = _line_in(error, str(file))
    if tree is None or line is None:
        raise error
    failed = _statements_at(line, tree)
    if not failed or isinstance(failed[0], DEFINITIONS) or _loads_a_model(failed[0]):
        raise error
    rest = Rest()
    if isinstance(failed[0], ast.Import) and len(failed[0].names) > 1:  # import a, b: the other one may be there
        alone = [ast.copy_location(ast.Import([alias]), failed[0]) for alias in failed[0].names]
        run_statements(alone, tree, str(file), module, rest)
    else:
        rest.add(failed[0], error, module)
    rest_of_file = [each for each in tree.body if each.lineno > failed[0].lineno]
    run_statements(rest_of_file, tree, str(file), module, rest)
    if is_needed(module, rest.lost, tree, target):
        raise error
    what = truncate(f"{type(error).__name__}: {error}".splitlines()[0], 200)
    return f"line {failed[0].lineno} of {file.name} failed ({what}); what is defined was taken without it"


def _statements_at(line: int | None, tree: ast.Module) -> list[ast.stmt]:
    """The statement of the top level that a line belongs to, which may be one of its decorators."""
    found = []
    for each in tree.body:
        first = min(part.lineno for part in (each, *getattr(each, "decorator_list", ())))
        if line is not None and first <= line <= (each.end_lineno or each.lineno):
            found.append(each)
    return found


def run_rest_of_cell(error: BaseException, tree: ast.Module, place: str, module: ModuleType, rest: Rest) -> None:
    """Run the definitions of a notebook's cell that come after the statement that failed.

    Raises:
        BaseException: the error, where it comes from a definition.
    """
    line = _line_in(error, place)
    failed = _statements_at(line, tree)
    if not failed or _loads_a_model(failed[0]):
        raise error
    last = failed[0].lineno
    if not isinstance(failed[0], DEFINITIONS):
        rest.add(failed[0], error, module)
    elif isinstance(error, NameError) and error.name in rest.lost:
        last -= 1  # once more: its annotations may name what a cell before it could not import
    else:
        raise error
    run_statements([each for each in tree.body if each.lineno > last], tree, place, module, rest)


def run_definitions(file: Path, module: ModuleType, target: str | None) -> str:
    """Run only the definitions of a file whose import did not end, and say so."""
    tree = _parse(file)
    if tree is None or any(_is_endless(each) for each in tree.body):
        raise WorkerError("timeout", "The import does not end.")
    rest = Rest()
    run_only_definitions(tree, str(file), module, rest)
    if is_needed(module, rest.lost, tree, target):
        raise WorkerError("timeout", "What is graded needs code that does not end.")
    return f"importing {file.name} did not end; what is defined was taken without the code around it"


def run_only_definitions(tree: ast.Module, place: str, module: ModuleType, rest: Rest) -> None:
    """Run the definitions of a file or a cell, and leave out what calls something that it defines."""
    own = {each.name for each in tree.body if isinstance(each, DEFINITIONS)}
    calls_own = [each for each in tree.body if not isinstance(each, DEFINITIONS) and _calls(each, own)]
    for statement in calls_own:
        rest.add(statement)
    run_statements([each for each in tree.body if each not in calls_own], tree, place, module, rest)


def is_needed(module: ModuleType, lost: set[str], tree: ast.Module, target: str | None) -> bool:
    """Tell whether what is graded is among the lost names or uses one of them."""
    own = names_set_by(tree.body)
    defined = [each for each in tree.body if isinstance(each, DEFINITIONS)]
    if target is not None:
        graded = {target.partition(".")[0]}
    else:
        graded = {each.name for each in defined if any(word in each.name.lower() for word in ATTENTION_WORDS)}
        graded = graded or {each.name for each in defined if isinstance(each, ast.ClassDef) or each.args.args}
    waiting, seen = list(graded), set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in lost or (name not in vars(module) and not hasattr(builtins, name) and name in own | graded):
            return True
        waiting += _globals_used_by(vars(module).get(name), module)
    return not graded


def names_set_by(statements: Iterable[ast.stmt]) -> set[str]:
    """Return the names that statements define, import or assign, on whatever level."""
    found: set[str] = set()
    for statement in statements:
        for node in ast.walk(statement) if not isinstance(statement, DEFINITIONS) else [statement]:
            if isinstance(node, DEFINITIONS):
                found.add(node.name)
            elif isinstance(node, _IMPORTS):
                found |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
            elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found |= {name for each in targets for name in _root_names(each)}
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found.add(node.id)
    return found


def _root_names(target: ast.expr) -> set[str]:
    """Names that an assignment changes: an attribute of a class (Attention.forward = …) changes the class."""
    if isinstance(target, (ast.Tuple, ast.List)):
        return {name for each in target.elts for name in _root_names(each)}
    while isinstance(target, (ast.Attribute, ast.Subscript, ast.Starred)):
        target = target.value
    return {target.id} if isinstance(target, ast.Name) else set()


def _parse(file: Path) -> ast.Module | None:
    try:
        return ast.parse(file.read_bytes(), str(file))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _line_in(error: BaseException, place: str) -> int | None:
    """The line of the file's top level at which the error came up."""
    for frame, line in walk_tb(error.__traceback__):
        if frame.f_code.co_name == "<module>" and frame.f_code.co_filename == place:
            return line
    return None


def run_statements(
    statements: Sequence[ast.stmt], tree: ast.Module, place: str, module: ModuleType, rest: Rest
) -> None:
    """Run what defines something; what fails, and everything else, is left out. Annotations are not evaluated."""
    flags = _future_flags(tree)
    for statement in statements:
        if not isinstance(statement, _KEPT):
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                continue
            rest.add(statement)
            continue
        code = compile(ast.Module([statement], []), place, "exec", flags, dont_inherit=True)
        try:
            exec(code, vars(module))
        except Exception as error:  # noqa: BLE001 - it may need what was left out; that is found out after it
            rest.add(statement, error, module)


def _future_flags(tree: ast.Module) -> int:
    """Flags of the file's ``from __future__ import …``, as every statement is compiled alone, and of annotations."""
    import __future__

    names = [
        alias.name
        for each in tree.body
        if isinstance(each, ast.ImportFrom) and each.module == "__future__"
        for alias in each.names
    ]
    # Annotations may name what could not be imported.
    flags = __future__.annotations.compiler_flag
    for name in names:
        flags |= getattr(__future__, name).compiler_flag
    return flags


def _loads_a_model(statement: ast.stmt) -> bool:
    """Whether a statement loads a pretrained model, which the sandbox cannot download and attention does not need."""
    return any(isinstance(node, ast.Attribute) and node.attr == "from_pretrained" for node in ast.walk(statement))


def _is_endless(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.While) and isinstance(statement.test, ast.Constant) and bool(statement.test.value)


def _calls(statement: ast.stmt, names: set[str]) -> bool:
    """Whether a statement calls something that the file defines, or something that it may have made with it."""
    return any(
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names
        for node in ast.walk(statement)
    )


def _globals_used_by(value: Any, module: ModuleType) -> list[str]:
    """Names of the module that the code of a function, or of a class's methods and bases, reads."""
    functions: list[Any] = [value]
    names: list[str] = []
    if isinstance(value, type):
        if value.__module__ != module.__name__:
            return []
        functions = list(vars(value).values())
        names = [base.__name__ for base in value.__mro__[1:] if base.__module__ == module.__name__]
    for each in functions:
        function = getattr(each, "__func__", getattr(each, "__wrapped__", each))
        if isinstance(function, FunctionType) and function.__module__ == module.__name__:
            names += _globals_in(function.__code__)
    return names


def _globals_in(code: CodeType) -> list[str]:
    found = [each.argval for each in dis.get_instructions(code) if each.opname in {"LOAD_GLOBAL", "LOAD_NAME"}]
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found += _globals_in(constant)
    return found
