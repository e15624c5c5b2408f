"""Validate the worker's replies: everything in them may be forged, so each field is checked before it gets its type."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import TypeAdapter
from torch import Tensor

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.sandbox.exit_reasons import WIRE_REMEDY
from pytest_attn_grader.sandbox.worker_process import WorkerProcess
from pytest_attn_grader.submission.remote.messages import (
    CachedReply,
    CallReply,
    Constructed,
    Description,
    RemoteModule,
    ResultTree,
    TensorMeta,
)
from pytest_attn_grader.submission.worker.global_state import KNOWN

MAX_DEPTH = 8
MAX_ENTRIES = 2000
MAX_NAME_CHARS = 1000
MAX_NUMBERS = 1 << 28  # in one parameter: more would not fit into a worker
T = TypeVar("T")


@contextmanager
def refuse_malformed(worker: WorkerProcess | None) -> Iterator[None]:
    """Take a wrong type or a missing key inside for a malformed reply: the worker ends and the student fails."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        if worker is not None:
            worker.kill()
        raise SubmissionError(
            "malformed-reply",
            f"What the worker sent is not what was asked for: {type(error).__name__}: {str(error)[:150]}.",
            remedy=WIRE_REMEDY,
        ) from error


def read_constructed(reply: Mapping[str, Any]) -> Constructed:
    """Return the handle of a constructed object and what its constructor asked for."""
    read = {str(name)[:80]: _plain(value) for name, value in _entries(reply["config_read"])}
    lengthened = {str(name)[:80]: _typed(value, int) for name, value in _entries(reply["lengthened"])}
    return Constructed(_typed(reply["handle"], int), reply["kind"] == "module-instance", read, lengthened)


def _plain(value: Any) -> Any:
    return value if isinstance(value, (int, float, bool, type(None))) else str(value)[:80]


def read_call(reply: Mapping[str, Any], tensors: Mapping[str, Tensor], echoed: tuple[str, ...]) -> CallReply:
    """Return the reply to a call; the tensors must be exactly those that it names."""
    names: list[str] = []
    structure = _read_structure(reply["structure"], names, 0)
    attributes = [_typed(name, str) for name in _items(reply["attributes"])]
    expected = names + [f"input.{name}" for name in echoed] + [f"attribute.{name}" for name in attributes]
    if len(set(names)) != len(names) or sorted(tensors) != sorted(expected):
        raise ValueError(f"the tensors {sorted(tensors)[:10]} were sent, {sorted(expected)[:10]} were announced")
    seconds = _typed(reply["seconds"], float)
    if not 0 <= seconds < 1e9:
        raise ValueError(f"the call took {seconds!r} s")
    library_calls = {str(name)[:200]: _typed(count, int) for name, count in _entries(reply["library_calls"])}
    graded = {name: _typed(reply["requires_grad"][name], bool) for name in names}
    if any(graded[name] and not tensors[name].is_floating_point() for name in names):
        raise ValueError("a gradient is announced for a tensor that is not floating-point")
    return CallReply(
        structure=structure,
        tensors={name: tensors[name] for name in names},
        inputs_after={name: tensors[f"input.{name}"] for name in echoed},
        handle=None if reply["handle"] is None else _typed(reply["handle"], int),
        seconds=seconds,
        library_calls=library_calls,
        requires_grad=graded,
        attributes={name: tensors[f"attribute.{name}"] for name in attributes},
    )


def read_cached_calls(reply: Mapping[str, Any], tensors: Mapping[str, Tensor], calls: int) -> CachedReply:
    """Return the replies to so many calls with a cache."""
    together = read_call(reply, tensors, ())
    results = together.structure.items
    if together.structure.type != "list" or len(results) != calls:
        raise ValueError(f"{len(results)} results of {calls} calls")
    replies = tuple(replace(together, structure=result) for result in results)
    return CachedReply(replies, _typed(reply["passed_on"], bool), together.seconds)


def read_gradients(
    reply: Mapping[str, Any], tensors: Mapping[str, Tensor], inputs: Mapping[str, TensorMeta]
) -> dict[str, Tensor | None]:
    """Return the gradient of each input, on its device; it must have the input's shape and dtype."""
    found: dict[str, Tensor | None] = {}
    for name, shape in inputs.items():
        key = reply["gradients"][name]
        gradient = None if key is None else tensors[_typed(key, str)]
        if gradient is not None and (tuple(gradient.shape) != shape.shape or gradient.dtype != shape.dtype):
            raise ValueError(f"the gradient of {name} is {gradient.dtype} {tuple(gradient.shape)}")
        found[name] = None if gradient is None else gradient.to(shape.device)
    return found


def read_module(reply: Mapping[str, Any]) -> RemoteModule:
    """Return the parameters and what else says how the module is built; numbers that no size has are left out."""
    read = _read(RemoteModule, reply)
    for each in read.parameters:
        too_large = any(size < 0 for size in each.shape) or math.prod(each.shape) > MAX_NUMBERS
        if too_large or len(each.name) > MAX_NAME_CHARS:
            raise ValueError(f"parameter {each.name[:80]!r} has the shape {str(each.shape)[:80]}")
    return replace(read, sizes={name: size for name, size in read.sizes.items() if abs(size) <= MAX_NUMBERS})


def read_description(reply: Mapping[str, Any]) -> Description:
    """Return what the worker says is in the submission."""
    read = _read(Description, reply)
    if len(read.candidates) + len(read.imported_modules) + len(read.files) > MAX_ENTRIES:
        raise ValueError("there are too many candidates or files")
    return replace(read, changed_state=tuple(name for name in KNOWN if name in read.changed_state))


def _read(kind: type[T], reply: Mapping[str, Any]) -> T:
    """Return a reply as this class, each of whose fields must have exactly its type; other keys are ignored."""
    # As JSON, in which pydantic takes a list for a tuple and nothing else for anything else.
    return TypeAdapter(kind).validate_json(json.dumps(reply), strict=True)


def _read_structure(data: Any, names: list[str], depth: int) -> ResultTree:
    kind = _typed(data["type"], str)
    if depth > MAX_DEPTH or len(names) > MAX_ENTRIES:
        raise ValueError("the result is nested too deeply or has too many parts")
    if kind == "tensor":
        names.append(_typed(data["name"], str))
        return ResultTree("tensor", name=names[-1])
    if kind in ("tuple", "list", "dict"):
        items = tuple(_read_structure(item, names, depth + 1) for item in _items(data["items"]))
        keys = tuple(_typed(key, str) for key in _items(data["keys"])) if kind == "dict" else ()
        if kind == "dict" and len(keys) != len(items):
            raise ValueError("a dict with other keys than items")
        return ResultTree(kind, items=items, keys=keys)
    if kind == "none":
        return ResultTree("none")
    if kind == "other":
        return ResultTree("other", text=_typed(data["repr"], str)[:1000])
    raise ValueError(f"a result of type {kind[:80]!r}")


def _typed(value: Any, kind: type[Any]) -> Any:
    # JSON has one kind of number: an int will do for a float, but True is not a number here.
    if type(value) is kind or (kind is float and type(value) is int):
        return value
    raise TypeError(f"{str(value)[:80]!r} where {kind.__name__} was expected")


def _items(value: Any) -> list[Any]:
    if not isinstance(value, list) or len(value) > MAX_ENTRIES:
        raise TypeError("a list was expected")
    return value


def _entries(value: Any) -> list[tuple[str, Any]]:
    if not isinstance(value, dict) or len(value) > MAX_ENTRIES:
        raise TypeError("an object was expected")
    return list(value.items())
