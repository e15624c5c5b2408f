"""Texts that a parameter of a class may be, parameters that are widths of inputs, switches. Part of the worker.

A text is one of several in ``if kind == "causal"``; ``self.k_proj = nn.Linear(kv_dim, d_model)`` takes kv_dim features;
what is only tested, as in ``if config.fast``, is a switch.
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


def options_in(tree: ast.AST) -> dict[str, list[str]]:
    """Return the same of what is read as config.kind, also by another name, and nowhere together with a default."""
    found = choices_in(tree)
    copies = [
        (_name_of(each.targets[0]), _name_of(each.value)) for each in ast.walk(tree) if isinstance(each, ast.Assign)
    ]
    found |= {name: found[copy] for copy, name in copies if name and copy in found}
    calls = [
        each for each in ast.walk(tree) if isinstance(each, ast.Call) and _name_of(each.func) in {"getattr", "get"}
    ]
    own = {each.value for call in calls for each in call.args if isinstance(each, ast.Constant)}
    return {name: texts for name, texts in found.items() if name not in own}


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


def switches_in(tree: ast.AST) -> set[str]:
    """Return the names of attributes and keys that are only tested, as in ``if config.fast:``, also by another name."""
    tested: set[int] = set()
    copied: dict[int, str | None] = {}
    loads: dict[str | None, list[int]] = {}
    for node in ast.walk(tree):
        if isinstance(node, (ast.If, ast.IfExp, ast.While)):
            tested |= {id(each) for each in _truths_in(node.test)}
        elif isinstance(node, ast.Assign):
            pairs = [(node.targets[0], node.value)]
            if isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = list(zip(node.targets[0].elts, node.value.elts, strict=False))
            copied |= {id(each): _key_of(target) for target, value in pairs for each in _truths_in(value)}
        if isinstance(getattr(node, "ctx", None), ast.Load):
            loads.setdefault(_key_of(node), []).append(id(node))

    def is_switch(key: str | None, seen: frozenset[str | None]) -> bool:
        uses = [use for use in loads.get(key, []) if copied.get(use) not in seen]
        return bool(uses) and all(
            use in tested or (use in copied and is_switch(copied[use], seen | {copied[use]})) for use in uses
        )

    return {key[1:] for key in loads if key and key.startswith(".") and is_switch(key, frozenset({key}))}


def _truths_in(test: ast.expr) -> list[ast.expr]:
    """Return the parts of a test that are taken for true or false: x and y in ``x and not y``."""
    if isinstance(test, ast.BoolOp):
        return [each for value in test.values for each in _truths_in(value)]
    return _truths_in(test.operand) if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not) else [test]


def _key_of(node: ast.AST) -> str | None:
    """Return .fast for what is read or set as config.fast or config["fast"], and the name of a variable."""
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        return f".{node.slice.value!s}"
    return f".{node.attr}" if isinstance(node, ast.Attribute) else getattr(node, "id", None)


def _name_of(subject: ast.expr) -> str | None:
    """Return the name that is compared, also in kind.lower(), self.kind and config["kind"]."""
    if isinstance(subject, ast.Call) and isinstance(subject.func, ast.Attribute):
        return _name_of(subject.func.value)
    if isinstance(subject, ast.Subscript) and isinstance(subject.slice, ast.Constant):
        return str(subject.slice.value)
    return getattr(subject, "id", None) or getattr(subject, "attr", None)
