"""The texts among which the code of a class chooses, as in ``if kind == "causal"``. Part of the worker."""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import Any

from .failures import truncate

MAX_CHOICES = 20


def choices_in(value: Any) -> dict[str, list[str]]:
    """Return, by the name of a parameter or an attribute, the texts with which it is compared or looked up."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(value)))
    except (OSError, TypeError, ValueError, SyntaxError):
        return {}
    found: dict[str, list[str]] = {}
    for node in ast.walk(tree):
        others: list[Any]
        if isinstance(node, ast.Compare):
            subject, others = node.left, node.comparators
        elif isinstance(node, ast.Match):
            subject, others = node.subject, [case.pattern for case in node.cases]
        elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Dict):
            subject, others = node.slice, node.value.keys
        else:
            continue
        texts = [
            truncate(each.value, 80)
            for other in others
            for each in ast.walk(other or ast.Constant(None))
            if isinstance(each, ast.Constant) and isinstance(each.value, str)
        ]
        name = _name_of(subject)
        if name and texts:
            found[name] = [*found.get(name, []), *texts][:MAX_CHOICES]
    return found


def _name_of(subject: ast.expr) -> str | None:
    """Return the name that is compared, also in kind.lower() and self.kind."""
    if isinstance(subject, ast.Call) and isinstance(subject.func, ast.Attribute):
        return _name_of(subject.func.value)
    return getattr(subject, "id", None) or getattr(subject, "attr", None)
