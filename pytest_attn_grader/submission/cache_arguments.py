"""The cache of a submission: keys and values of earlier tokens, which it need not compute again.

People pass them on in three ways: the result of a call holds the cache, which the next call is given; one object is
given to every call, which writes into it; or the module keeps them itself. Which way is meant is settled by trial.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pytest_attn_grader.submission.parameter_names import CACHE_FLAGS, CACHES, POSITIONS, TABLES, rotary_role
from pytest_attn_grader.submission.remote.arguments import (
    Argument,
    CacheArgument,
    FirstCache,
    LiteralArgument,
    TensorRef,
)
from pytest_attn_grader.submission.remote.messages import Candidate

# In the names of parameters that tell a call how many tokens came before it.
_POSITION = re.compile(r"pos(ition)?s?(_|$)|offset|step|start|past_len|cache_len|cur_len")

_RESET = re.compile(r"(reset|clear|empty|flush)(_(kv|k_v|key_value))?(_?caches?)?")
# The object comes last: it answers where a pair is meant, and is given to every call.
_FIRSTS: tuple[FirstCache, ...] = ("nothing", "pair", "list", "empty", "object")


@dataclass(frozen=True)
class CacheStyle:
    """A way in which calls with a cache differ from one without.

    Attributes:
        parameter: takes the cache; None where the module keeps it.
        first: what the first call gets there, see `CacheArgument`.
        flag: a switch that is on in every call.
        start: takes the number of tokens of all earlier calls.
        positions: takes the positions of the call's tokens.
        whole_tables: rotary tables begin at the first token of the text, instead of at the first one of the call.
        single_tokens: after the first call it takes one token at a time; several give other numbers, or an exception.
        reset: a method that empties the cache between two texts; then every text comes after another one.
        is_reset: whether it does: without the call the numbers would be right.
        masks_itself: without a mask it hides the future in one call; then it gets none where nothing is padding.
    """

    parameter: str | None = None
    first: FirstCache = "nothing"
    flag: str | None = None
    start: str | None = None
    positions: str | None = None
    whole_tables: bool = False
    single_tokens: bool = False
    masks_itself: bool = False
    reset: str | None = None
    is_reset: bool = True

    def arguments(self, past: int) -> dict[str, Argument]:
        """Return the arguments of a call that `past` tokens come before, by parameter."""
        given: dict[str, Argument] = {}
        if self.parameter is not None:
            given[self.parameter] = CacheArgument(self.first)
        if self.flag is not None:
            given[self.flag] = LiteralArgument(True)
        if self.start is not None:
            given[self.start] = LiteralArgument(past)
        if self.positions is not None:
            given[self.positions] = TensorRef("rotary.positions")
        return given

    def __str__(self) -> str:
        limit = "; right token by token, but not for several new tokens at once" if self.single_tokens else ""
        if self.parameter is None:
            between = f"; {self.reset}() is called after a text before it" if self.reset else ""
            return f"it keeps keys and values itself{between}{limit}"
        if self.first == "object":
            return f"{self.parameter} is an object that it writes into{limit}"
        shown = {"pair": "(None, None)", "list": "[None, None]", "empty": "[]"}.get(self.first)
        first = f", at first {shown}" if shown else ""
        return f"{self.parameter} is the cache that the call before has returned{first}{limit}"


def cache_styles(candidate: Candidate) -> Iterator[CacheStyle]:
    """Yield the ways in which a callable may take a cache, the most usual one first; none where it has none.

    Args:
        candidate: the callable that takes tensors, and the names in its code.
    """
    parameter = flag = start = positions = None
    unknown = False
    for each in candidate.called.parameters:
        plain = each.name.lower().strip("_")
        is_switch = each.default in {"True", "False"} or each.annotation == "bool"
        if plain in CACHE_FLAGS or (plain in CACHES and is_switch):
            flag = flag or each.name
        elif plain in CACHES:
            parameter = parameter or each.name
        elif rotary_role(each.name) == "rotary_start":
            start = start or each.name
        elif plain in POSITIONS and each.has_default:
            positions = positions or each.name
        elif each.has_default and _POSITION.search(plain) and not rotary_role(each.name):
            unknown = True
    if unknown and start is None:
        return  # the place of its tokens is passed in some other way
    keeps_itself = parameter is None and (flag is not None or _writes_a_cache(candidate, start))
    if parameter is None and not keeps_itself:
        return
    takes_tables = any(rotary_role(each.name) in TABLES for each in candidate.called.parameters)
    firsts = _FIRSTS[:1] if parameter is None else _FIRSTS
    for first, whole, given in itertools.product(
        firsts, (False, True) if takes_tables else (False,), (None, positions) if positions else (None,)
    ):
        yield CacheStyle(parameter, first, flag, start, given, whole)


def find_reset(nodes: Iterable[ast.AST], class_name: str) -> str | None:
    """Name the first method of a class that is called as one that empties a cache, and needs nothing but the object."""
    classes = (node for node in nodes if isinstance(node, ast.ClassDef) and node.name == class_name)
    for method in (each for node in classes for each in node.body if isinstance(each, ast.FunctionDef)):
        if _RESET.fullmatch(method.name) and len(method.args.args) - len(method.args.defaults) == 1:
            return method.name
    return None


def _writes_a_cache(candidate: Candidate, start: str | None) -> bool:
    """Whether a module that takes the number of earlier tokens also names a cache in its code."""
    return start is not None and any("cache" in name.lower() for name in candidate.uses)
