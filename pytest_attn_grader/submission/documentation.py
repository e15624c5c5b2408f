"""Facts about a submission's tensors in its docstrings and comments. The text is parsed, never run."""

from __future__ import annotations

import ast
import re

_AXIS = r"[A-Za-z_][\w./*+-]*"
# (batch, num_heads, seq, head_dim), [B, H, T, D], "4D", "4-d", "four dimensions".
_FOUR_AXES = re.compile(
    rf"[(\[]\s*{_AXIS}\s*,\s*(?:\w*heads?\w*|n_?h|h|nh)\s*,\s*{_AXIS}\s*,\s*{_AXIS}\s*[)\]]", re.IGNORECASE
)
_FOUR_IN_WORDS = re.compile(r"\b(4-?d|four[- ]dimension|4 dimension)", re.IGNORECASE)

_BATCH, _SEQ = r"(?:batch\w*|n_?batch|bsz?|nb|B|b|N)", r"(?:seq\w*|len\w*|n?_?tokens|num_tokens|time\w*|T|t|L|S|n)"
# (batch, seq, features), [B, T, C]; in code B, T, C = x.shape.
_BATCH_FIRST = re.compile(rf"[(\[]\s*{_BATCH}\s*,\s*{_SEQ}\s*,\s*{_AXIS}\s*[)\]]")
_TAKES_BATCH_FIRST = re.compile(
    rf"^\s*\(?{_BATCH}\s*,\s*{_SEQ}\s*,\s*\w+\)?\s*=\s*[\w.]+\.(?:shape|size\(\))", re.MULTILINE
)
_SEQ_FIRST = re.compile(rf"[(\[]\s*{_SEQ}\s*,\s*{_BATCH}\s*,\s*{_AXIS}\s*[)\]]")

_TOKENS_FIRST = re.compile(
    rf"[(\[]\s*{_BATCH}\s*,\s*{_SEQ}\s*,\s*(?:\w*heads?\w*|n_?h|h|nh)\s*,\s*{_AXIS}\s*[)\]]", re.IGNORECASE
)

_Definition = ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef


def documents_four_dimensions(source: str, name: str) -> bool:
    """Whether the docstring, comments or annotations of a definition name a batch of heads ``(batch, heads, …)``."""
    found = _find_definition(source, name)
    text = "" if found is None else _text_of(source, found)
    return bool(_FOUR_AXES.search(text) or _FOUR_IN_WORDS.search(text))


def documents_tokens_first(source: str, name: str) -> bool:
    """Whether docstring or signature of a definition, or of a method, name the heads after the tokens.

    A comment in the body says what a tensor has become there, and so does a line that names both layouts.
    """
    found = _find_definition(source, name)
    kinds = (ast.FunctionDef, ast.ClassDef)
    inner = [] if found is None else [node for node in ast.walk(found) if isinstance(node, kinds)]
    lines = source.splitlines()
    texts = [
        line
        for node in inner
        for line in [*(ast.get_docstring(node) or "").splitlines(), *lines[node.lineno - 1 : node.body[0].lineno - 1]]
        if not line.lstrip().startswith("#")
    ]
    return any(_TOKENS_FIRST.search(line) and not _FOUR_AXES.search(line) for line in texts)


def documents_batch_first(source: str, name: str) -> bool:
    """Whether a definition says that the batch is the first axis of three: in its texts, or where it takes a shape."""
    found = _find_definition(source, name)
    if found is None:
        return False
    text = _text_of(source, found)
    if _SEQ_FIRST.search(text):
        return False
    code = "\n".join(source.splitlines()[found.lineno - 1 : found.end_lineno])
    return bool(_BATCH_FIRST.search(text) or _TAKES_BATCH_FIRST.search(code))


def _text_of(source: str, found: _Definition) -> str:
    """The docstring, the comments and the strings in the signature of a function or class, code left out."""
    lines = source.splitlines()
    above = lines[max(0, found.lineno - 4) : found.lineno - 1]
    own = lines[found.lineno - 1 : found.end_lineno]
    comments = [line.partition("#")[2] for line in own] + [line for line in above if line.lstrip().startswith("#")]
    annotations = [] if isinstance(found, ast.ClassDef) else [ast.unparse(found.args)]
    return "\n".join([ast.get_docstring(found) or "", *annotations, *comments])


def _find_definition(source: str, name: str) -> _Definition | None:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    kinds = (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)
    return next((node for node in ast.walk(tree) if isinstance(node, kinds) and node.name == name), None)
