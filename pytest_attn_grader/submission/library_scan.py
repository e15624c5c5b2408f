"""A scan of the submission's source for ready-made attention, and for what hides a call of it from the worker's count.

The text is parsed, never run. It is a second witness beside the count, which is made in the submission's own process. A
name alone proves no call: an honest file may compare itself with the library.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_attn_grader.submission.target import python_parts
from pytest_attn_grader.submission.worker.library_calls import READY_MADE_MODULES, library_name

_MODULES = {kind.__name__: f"torch.nn.{kind.__name__}" for kind in READY_MADE_MODULES}
# By these a call is made where the count does not look: without overrides, in compiled code, in another process, in a
# thread that `threading` does not know; or the count itself is reached.
_HIDING = frozenset(
    {
        "DisableTorchFunction", "DisableTorchFunctionSubclass", "_pop_torch_function_stack", "_pop_mode",
        "_push_on_torch_function_stack", "__torch_function__",
        "_thread", "start_new_thread", "CompilationUnit", "ScriptFunction", "cpp_extension", "load_inline",
        "ctypes", "cffi", "fork", "forkpty", "posix_spawn", "subprocess", "multiprocessing", "ProcessPoolExecutor",
        "get_objects", "get_referrers", "_getframe", "_attn_sandbox", "library_calls", "builtins.exec", "builtins.eval",
    }
)  # fmt: skip
_COMPILERS = frozenset({"script", "trace", "script_if_tracing", "trace_module"})  # of torch.jit


@dataclass(frozen=True)
class LibraryScan:
    """The findings of a scan.

    Attributes:
        named: ready-made attention that the source refers to, by public name.
        hidden_by: what could hide a call of it, each with its line.
    """

    named: frozenset[str]
    hidden_by: tuple[str, ...]


def scan_sources(sources: Mapping[Path, bytes]) -> LibraryScan:
    """Scan the sources of a submission; one that does not parse has no findings."""
    named: set[str] = set()
    hidden_by: dict[str, str] = {}
    for file, content in sources.items():
        for text in python_parts(file, content.decode(errors="replace")):
            for name, line in _names(text):
                known = _MODULES.get(name) or library_name(name)
                if known is not None:
                    named.add(known)
                elif name in _HIDING or name in {f"jit.{each}" for each in _COMPILERS}:
                    hidden_by.setdefault(name, f"{name} (line {line})")
    return LibraryScan(frozenset(named), tuple(hidden_by.values()))


def _names(text: str) -> Iterator[tuple[str, int]]:
    """The names, attributes, imports and strings of a text, with their lines; not of its block for a script."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    tree.body = [each for each in tree.body if not _is_main_block(each)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id, node.lineno
            yield f"builtins.{node.id}", node.lineno
        elif isinstance(node, ast.Attribute):
            yield node.attr, node.lineno
            owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
            yield f"{owner}.{node.attr}", node.lineno
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            module = (getattr(node, "module", None) or "").split(".")
            for alias in node.names:
                for part in (*module, *alias.name.split("."), f"{module[-1]}.{alias.name}"):
                    yield part, node.lineno
        elif isinstance(node, (ast.Constant, ast.BinOp, ast.JoinedStr)):
            yield _string(node), node.lineno


def _string(node: ast.expr) -> str:
    """The text of a string, also of one put together from others; "" where it is only known at run time."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _string(node.left) + _string(node.right)
    if isinstance(node, ast.JoinedStr):
        return "".join(map(_string, node.values))
    return ""


def _is_main_block(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "__name__" in {
        each.id for each in ast.walk(node.test) if isinstance(each, ast.Name)
    }
