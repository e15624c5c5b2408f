"""Validate the worker's replies: everything in them may be forged, so each field is checked before it gets its type."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Annotated, Any, TypeVar

from pydantic import Field, TypeAdapter
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
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        if worker is not None:
            worker.kill()
        raise SubmissionError(
            "malformed-reply",
            f"What the worker sent is not what was asked for: {type(error).__name__}: {str(error)[:150]}.",
            remedy=WIRE_REMEDY,
        ) from error


def read_constructed(reply: Mapping[str, Any]) -> Constructed:
    """Return the handle of a constructed object and what its constructor asked for."""
    read = _read(Constructed, reply)
    cut = {name: value[:80] if isinstance(value, str) else value for name, value in read.config_read.items()}
    return replace(read, config_read=cut)


@dataclass(frozen=True)
class _CallHeader:
    """The reply to a call as it arrives, beside its tensors; `passed_on` is of calls with a cache."""

    structure: ResultTree
    seconds: Annotated[float, Field(ge=0, lt=1e9)]
    library_calls: Annotated[dict[str, int], Field(max_length=MAX_ENTRIES)]
    requires_grad: dict[str, bool]
    handle: int | None
    attributes: tuple[str, ...]
    passed_on: bool = False


def read_call(reply: Mapping[str, Any], tensors: Mapping[str, Tensor], echoed: tuple[str, ...]) -> CallReply:
    """Return the reply to a call; the tensors must be exactly those that it names."""
    return _make_reply(_read(_CallHeader, reply), tensors, echoed)


def _make_reply(header: _CallHeader, tensors: Mapping[str, Tensor], echoed: tuple[str, ...]) -> CallReply:
    names = list(_tensor_names(header.structure, 0))
    expected = names + [f"input.{name}" for name in echoed] + [f"attribute.{name}" for name in header.attributes]
    if len(set(names)) != len(names) or sorted(tensors) != sorted(expected):
        raise ValueError(f"the tensors {sorted(tensors)[:10]} were sent, {sorted(expected)[:10]} were announced")
    graded = {name: header.requires_grad[name] for name in names}
    if any(graded[name] and not tensors[name].is_floating_point() for name in names):
        raise ValueError("a gradient is announced for a tensor that is not floating-point")
    return CallReply(
        structure=header.structure,
        tensors={name: tensors[name] for name in names},
        inputs_after={name: tensors[f"input.{name}"] for name in echoed},
        handle=header.handle,
        seconds=header.seconds,
        library_calls=header.library_calls,
        requires_grad=graded,
        attributes={name: tensors[f"attribute.{name}"] for name in header.attributes},
    )


def read_cached_calls(reply: Mapping[str, Any], tensors: Mapping[str, Tensor], calls: int) -> CachedReply:
    """Return the replies to so many calls with a cache."""
    header = _read(_CallHeader, reply)
    together = _make_reply(header, tensors, ())
    results = together.structure.items
    if together.structure.type != "list" or len(results) != calls:
        raise ValueError(f"{len(results)} results of {calls} calls")
    replies = tuple(replace(together, structure=result) for result in results)
    return CachedReply(replies, header.passed_on, header.seconds)


def read_gradients(
    reply: Mapping[str, Any], tensors: Mapping[str, Tensor], inputs: Mapping[str, TensorMeta]
) -> dict[str, Tensor | None]:
    """Return the gradient of each input, on its device; it must have the input's shape and dtype."""
    found: dict[str, Tensor | None] = {}
    for name, shape in inputs.items():
        key = reply["gradients"][name]
        gradient = None if key is None else tensors[key]
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
    adapter: TypeAdapter[T] = _adapter(kind)
    return adapter.validate_json(json.dumps(reply), strict=True)


_adapter: Callable[[Any], TypeAdapter[Any]] = functools.cache(TypeAdapter)


def _tensor_names(tree: ResultTree, depth: int) -> Iterator[str]:
    """Yield the names of the tensors in a result, in order."""
    if depth > MAX_DEPTH or len(tree.items) > MAX_ENTRIES or len(tree.text) > MAX_NAME_CHARS:
        raise ValueError("the result is nested too deeply, has too many parts or says too much")
    if tree.type == "dict" and len(tree.keys) != len(tree.items):
        raise ValueError("a dict with other keys than items")
    if tree.type == "tensor":
        if tree.name is None:
            raise ValueError("a tensor without a name")
        yield tree.name
    for item in tree.items:
        yield from _tensor_names(item, depth + 1)
