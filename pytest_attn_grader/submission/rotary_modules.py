"""Modules of rotary positions that an attention's constructor takes as an argument. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from pytest_attn_grader.submission.remote.arguments import ModuleArgument
from pytest_attn_grader.submission.remote.messages import Candidate, Parameter
from pytest_attn_grader.submission.size_names import role_of_size

_ARGUMENT = re.compile(r"(^|_)(rope|rotary)(_|$)|pos(ition|itional)?_?(emb|enc)|rotary")
_CLASS = re.compile(r"rope|rotary")
# Of a size that is the whole width and not a head's.
_WHOLE = re.compile(r"model|emb|hidden")
_DIMENSIONS = frozenset({"width", "head_dim", "either"})


def takes_rotary_module(parameter: Parameter) -> bool:
    """Whether a constructor's parameter is called like a module of rotary positions, or annotated as one."""
    if role_of_size(parameter.name) is not None:
        return False
    annotation = (parameter.annotation or "").lower()
    is_annotated = _CLASS.search(annotation) is not None and "config" not in annotation
    return is_annotated or _ARGUMENT.search(parameter.name.lower()) is not None


def with_rotary_module(chosen: Candidate, candidates: Sequence[Candidate]) -> Candidate:
    """The candidate with a module of rotary positions, where its constructor asks for one.

    It is the module that an annotation names, or the only one there is.
    """
    wanted = [each for each in chosen.parameters if takes_rotary_module(each) and not each.has_default]
    if chosen.kind != "module-class" or not wanted:
        return chosen
    found = [each for each in candidates if each.name != chosen.name and _is_rotary_module(each)]
    annotated = set(re.findall(r"\w+", " ".join(each.annotation or "" for each in wanted)))
    found = [each for each in found if each.name in annotated] or found
    return replace(chosen, rotary_module=found[0]) if len(found) == 1 else chosen


def make_rotary_module(candidate: Candidate, *, width: int, head_dim: int, context: int, base: float) -> ModuleArgument:
    """Return the argument that is an instance of the module, with the sizes of the model."""
    values: dict[str, float | str | bool | None] = {}
    for parameter in candidate.parameters:
        role = role_of_size(parameter.name)
        if role in _DIMENSIONS:
            values[parameter.name] = width if _WHOLE.search(parameter.name.lower()) else head_dim
        elif role in {"context", "rotary_base"}:
            values[parameter.name] = context if role == "context" else base
        elif role in {"device", "dtype"} and not parameter.has_default:
            values[parameter.name] = "cpu" if role == "device" else None
    return ModuleArgument(candidate.name, values)


def _is_rotary_module(candidate: Candidate) -> bool:
    if candidate.kind != "module-class":
        return False
    roles = {each.name: role_of_size(each.name) for each in candidate.parameters}
    known = _DIMENSIONS | {"context", "rotary_base", "device", "dtype"}
    is_filled = all(roles[each.name] in known for each in candidate.parameters if not each.has_default)
    is_rotary = "rotary_base" in roles.values() or _CLASS.search(candidate.name.lower()) is not None
    return is_filled and is_rotary and bool(_DIMENSIONS & set(roles.values())) and "heads" not in roles.values()
