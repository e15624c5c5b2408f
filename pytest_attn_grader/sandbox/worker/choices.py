"""Texts that a parameter of a class may be, and parameters that are widths of inputs. Part of the worker.

A text is one of several in ``if kind == "causal"``; ``self.k_proj = nn.Linear(kv_dim, d_model)`` takes kv_dim features.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from typing import Any

from .failures import truncate

MAX_CHOICES = 20
_PROJECTED = re.compile(r"(?:^|_)w?(?:q|k|v|kv|query|key|value|queries|keys|values)(?:_|$)")


def tree_of(value: Any) -> ast.AST:
    """Return the syntax tree of a class or function; an empty one where there is no source."""
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(value)))
    except (OSError, TypeError, ValueError, SyntaxError):
        return ast.Module([], [])


def choices_in(tree: ast.AST) -> dict[str, list[str]]:
    """Return, by the name of a parameter or an attribute, the texts with which it is compared or looked up."""
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


def input_sizes_in(tree: ast.AST) -> set[str]:
    """Return the names that are the input features of linear layers which are called after query, key or value."""
    return {
        node.value.args[0].id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and _PROJECTED.search((_name_of(node.targets[0]) or "").lower())
        and isinstance(node.value, ast.Call)
        and (_name_of(node.value.func) or "").endswith("Linear")
        and node.value.args
        and isinstance(node.value.args[0], ast.Name)
    }


def factors_in(tree: ast.AST) -> set[str]:
    """Return the names that are multiplied by another name, as in nn.Linear(count * size, width)."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            left, right = node.left, node.right
            if isinstance(left, ast.Name) and isinstance(right, ast.Name):
                names |= {left.id, right.id}
    return names


def _name_of(subject: ast.expr) -> str | None:
    """Return the name that is compared, also in kind.lower() and self.kind."""
    if isinstance(subject, ast.Call) and isinstance(subject.func, ast.Attribute):
        return _name_of(subject.func.value)
    return getattr(subject, "id", None) or getattr(subject, "attr", None)
