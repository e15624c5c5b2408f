"""``%load_ext pytest_attn_grader`` and the cell magic ``%%attn_grade [options]``: run a cell, grade what it defined."""

from __future__ import annotations

import shlex
from types import ModuleType
from typing import Any

from pytest_attn_grader.errors import UsageError
from pytest_attn_grader.plugin.live import LiveReport, grade


def register_magic(shell: Any) -> None:
    """Add the cell magic to an IPython shell."""
    shell.register_magic_function(lambda line, cell: grade_cell(shell, line, cell), "cell", "attn_grade")


def grade_cell(shell: Any, line: str, cell: str) -> LiveReport | None:
    """Run a cell and grade what it defined; None when the cell itself raised, which IPython has shown.

    Args:
        line: options as ``model=mini hints=nudge``, and the name of what is graded where a cell defines several things.

    Raises:
        UsageError: an option has no value, or the cell defines nothing.
    """
    name, options = _parse_line(line)
    before = {key: id(value) for key, value in shell.user_ns.items()}
    if not shell.run_cell(cell).success:
        return None
    defined = {
        key: value
        for key, value in shell.user_ns.items()
        if not key.startswith("_") and callable(value) and before.get(key) != id(value)
    }
    if not defined:
        raise UsageError("%%attn_grade: the cell defines no function and no class. Define attention in this cell.")
    if name is None and len(defined) == 1:
        return grade(next(iter(defined.values())), **options)
    module = ModuleType("__main__")
    for key, value in defined.items():
        setattr(module, key, value)
    return grade(module, name=name, **options)


def _parse_line(line: str) -> tuple[str | None, dict[str, Any]]:
    name: str | None = None
    options: dict[str, Any] = {}
    for word in shlex.split(line):
        key, equals, value = word.removeprefix("--attn-").partition("=")
        if equals:
            options[key.replace("-", "_")] = value
        elif word.isidentifier() and name is None:
            name = word
        else:
            raise UsageError(f"%%attn_grade got {word!r}. Write options as model=mini, and at most one name.")
    return name, options
