"""The worker's operations on the student's callable: construct, call, backward, parameters, load.

Part of the worker: imports the standard library, torch and the worker's own parts only.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from . import cached_calls, serialization
from .config_stub import Config, make_config, read_keys
from .failures import WorkerError, truncate
from .head_loop import inputs_after, leading_sizes, split_inputs, without_ones
from .inspection import lengthen_texts, surroundings_of
from .layer_stub import Layer
from .library_calls import LibraryCalls
from .module_dtype import convert
from .submission import Submission

Reply = tuple[dict[str, Any], dict[str, Tensor]]
Header = dict[str, Any]


class Caller:
    """Calls what the submission defines and keeps the graphs and objects that handles stand for."""

    def __init__(self, submission: Submission, reply_bytes: int) -> None:
        self._submission = submission
        self._reply_bytes = reply_bytes
        self._numbers = itertools.count(1)
        self._objects: dict[int, Any] = {}
        self._lengthened: dict[str, int] = {}
        self._graphs: dict[int, tuple[dict[str, Tensor], dict[str, Tensor]]] = {}

    def construct(self, header: Header, tensors: dict[str, Tensor]) -> Reply:
        """Make an instance and return its handle."""
        target = self._target(header["name"])
        arguments = [self._constructor_argument(item, tensors) for item in header["args"]]
        keywords = {name: self._constructor_argument(item, tensors) for name, item in header["kwargs"].items()}
        if isinstance(target, type):
            self._lengthened |= lengthen_texts(target)
        made = target(*arguments, **keywords)
        handle = next(self._numbers)
        self._objects[handle] = made
        configs = [value for value in (*arguments, *keywords.values()) if isinstance(value, Config)]
        read = read_keys(configs[0], made) if configs else {}
        is_module = isinstance(made, torch.nn.Module)
        return {"handle": handle, "is_module": is_module, "config_read": read, "lengthened": self._lengthened}, {}

    def call(self, header: Header, tensors: dict[str, Tensor]) -> Reply:
        """Call the target, once or once per head or per batch row and head, and send back what came of it."""
        target = self._prepared(header)
        before = {name: getattr(target, name, None) for name in header["attributes"]}
        _seed(header["seed"])
        leaves = {name: tensors[name].requires_grad_() for name in header["requires_grad"]}
        grad, rank = header["grad"], header["rank"]
        with torch.enable_grad() if grad else torch.no_grad():
            # In a model the inputs are not leaves either: writing into a leaf raises where writing into these does not.
            given = {name: tensor.clone() if name in leaves else tensor for name, tensor in tensors.items()}
            slices = list(split_inputs(given, rank))
            called = _with_parameters(target, header, given)
            raw, seconds, library_calls = _call_each(target, called, header, slices)
            if rank == 1:
                raw = [without_ones(part) for part in raw]
            combined = serialization.combine(raw, *leading_sizes(given, rank))
        structure, named = serialization.describe_result(combined, "result")
        sent = self._plain(named)
        reply: Header = {
            "structure": structure,
            "seconds": seconds,
            "library_calls": library_calls,
            "requires_grad": {name: tensor.requires_grad for name, tensor in named.items()},
            "handle": None,
        }
        if header["echo_inputs"]:
            sent |= self._plain(inputs_after(given, slices, rank), "input.")
        kept = _fresh_tensors(target, before)
        reply["attributes"] = sorted(kept)
        sent |= self._plain(kept, "attribute.")
        differentiable = {name: tensor for name, tensor in named.items() if tensor.requires_grad}
        if grad and differentiable:
            reply["handle"] = next(self._numbers)
            self._graphs[reply["handle"]] = (leaves, differentiable)
        serialization.check_total(sent, self._reply_bytes)
        return reply, sent

    def cached_calls(self, header: Header, tensors: dict[str, Tensor]) -> Reply:
        """Call a copy of the target several times, each time with the cache of the call before."""
        target = cached_calls.copy_of(self._prepared(header))
        _seed(header["seed"])
        with torch.no_grad(), LibraryCalls(target) as library_calls:
            called = _with_parameters(target, header, tensors)
            results, passed_on, seconds = cached_calls.run(
                target, called, header["calls"], lambda item: _argument(item, tensors), header["reset"]
            )
        structure, named = serialization.describe_result(results, "result")
        sent = self._plain(named)
        serialization.check_total(sent, self._reply_bytes)
        return {
            "structure": structure,
            "seconds": seconds,
            "library_calls": library_calls.counts,
            "requires_grad": dict.fromkeys(named, False),
            "handle": None,
            "attributes": [],
            "passed_on": passed_on,
        }, sent

    def backward(self, header: Header, tensors: dict[str, Tensor]) -> Reply:
        """Return the vector-Jacobian product with the given upstream gradients; null where there is no gradient."""
        if header["handle"] not in self._graphs:
            raise WorkerError("malformed-reply", f"there is no graph {header['handle']!r} to go back through")
        leaves, outputs = self._graphs[header["handle"]]
        wanted = [name for name in outputs if name in tensors]
        started = time.perf_counter()
        gradients: tuple[Tensor | None, ...] = (None,) * len(leaves)
        if wanted and leaves:
            gradients = torch.autograd.grad(
                [outputs[name] for name in wanted],
                list(leaves.values()),
                [tensors[name] for name in wanted],
                allow_unused=True,
                retain_graph=header["retain"],
            )
        seconds = time.perf_counter() - started
        if not header["retain"]:
            del self._graphs[header["handle"]]
        found = dict(zip(leaves, gradients, strict=True))
        sent = self._plain({name: each for name, each in found.items() if each is not None}, "grad.")
        names = {name: None if gradient is None else f"grad.{name}" for name, gradient in found.items()}
        return {"gradients": names, "seconds": seconds}, sent

    def parameters(self, header: Header, tensors: dict[str, Tensor]) -> Reply:
        """List the parameters of an object, and send their values when asked to."""
        named = self._parameters_of(header["target"])
        listed = [
            {
                "name": truncate(name, 200),
                "shape": [] if is_lazy(parameter) else list(parameter.shape),
                "lazy": is_lazy(parameter),
                "dtype": serialization.dtype_name(parameter),
                "owner": truncate(type(owner).__name__, 80),
            }
            for name, (parameter, owner) in named.items()
        ]
        values = named.items() if header.get("values") else ()
        sent = self._plain({name: parameter for name, (parameter, _) in values})
        serialization.check_total(sent, self._reply_bytes)
        return {"parameters": listed, **surroundings_of(self._target(header["target"]))}, sent

    def load(self, header: Header, tensors: dict[str, Tensor]) -> Reply:
        """Copy the given values into the parameters of the same names."""
        named = self._parameters_of(header["target"])
        with torch.no_grad():
            for name, value in tensors.items():
                if name not in named or named[name][0].shape != value.shape:
                    raise WorkerError(
                        "malformed-reply", f"there is no parameter {name!r} of shape {tuple(value.shape)}"
                    )
                named[name][0].copy_(value)
        return {}, {}

    def echo(self, header: Header, tensors: dict[str, Tensor]) -> Reply:
        """Compute nothing: copy what came, as a call copies its inputs, and send back zeros of these shapes."""
        for tensor in tensors.values():
            tensor.clone()
        shapes = header["back"].items()
        return {}, self._plain(
            {name: torch.zeros(shape, dtype=getattr(torch, dtype)) for name, (shape, dtype) in shapes}
        )

    def release(self, handles: Iterable[int]) -> None:
        """Forget graphs; unknown handles are ignored."""
        for handle in handles:
            self._graphs.pop(handle, None)

    def _plain(self, tensors: Mapping[str, Tensor], prefix: str = "") -> dict[str, Tensor]:
        return {prefix + name: serialization.to_plain_tensor(each, self._reply_bytes) for name, each in tensors.items()}

    def _prepared(self, header: Header) -> Any:
        """Return the target in the mode and dtype that the call asks for; buffers follow the dtype as in a model."""
        target = self._target(header["target"])
        if isinstance(target, torch.nn.Module):
            if header["training"] is not None:
                target.train(header["training"])
            if header["dtype"] is not None:
                convert(target, getattr(torch, header["dtype"]))
        return target

    def _constructor_argument(self, item: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Any:
        if "config" in item:
            config = make_config(item["config"], self._submission.find_class(item["class_name"]))
            config.__dict__["_switches"] = self._submission.switches
            config.__dict__["_options"] = self._submission.choose_options(item["usual_words"])
            return config
        if "made" in item:
            return _make(item["made"], item["shape"])
        if "module" in item:
            return self._submission.resolve(item["module"])(**item["keywords"])
        return _argument(item, tensors)

    def _target(self, target: str | int) -> Any:
        if isinstance(target, int):
            if target not in self._objects:
                raise WorkerError("malformed-reply", f"there is no object {target}")
            return self._objects[target]
        return self._submission.resolve(target)

    def _parameters_of(self, target: str | int) -> dict[str, tuple[Tensor, torch.nn.Module]]:
        module = self._target(target)
        if not isinstance(module, torch.nn.Module):
            raise WorkerError(
                "no-target", f"a {type(module).__name__} has no parameters", remedy="Write a torch.nn.Module."
            )
        owners = dict(module.named_modules())
        return {
            name: (parameter, owners[name.rpartition(".")[0]])
            for name, parameter in itertools.islice(module.named_parameters(), 2000)
        }


def _with_parameters(target: Any, header: Header, given: Mapping[str, Tensor]) -> Callable[..., Any]:
    """Return what is called: a method, or the module with the values that were sent in place of its parameters.

    In place of them and not copied into them: so the caller's gradients reach the values, and nothing is kept that a
    replaced worker would have to be sent again.
    """
    if header["method"] is not None:
        method: Callable[..., Any] = getattr(target, header["method"])
        return method
    values = {name: given[tensor] for name, tensor in header["parameters"].items()}
    if not values:
        called: Callable[..., Any] = target
        return called
    return lambda *args, **kwargs: torch.func.functional_call(target, values, args, kwargs)


def _fresh_tensors(target: Any, before: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the attributes that this call has set to a tensor: many modules keep weights instead of returning them."""
    found = {name: getattr(target, name, None) for name in before}
    return {
        name: value
        for name, value in found.items()
        if isinstance(value, Tensor) and value is not before[name] and serialization.can_be_sent(value)
    }


def _call_each(
    target: object, called: Callable[..., Any], header: Header, slices: list[dict[str, Tensor]]
) -> tuple[list[Any], float, dict[str, int]]:
    raw = []
    seconds = 0.0
    with LibraryCalls(target) as library_calls:
        for tensors in slices:
            positional = [_argument(item, tensors) for _, item in header["arguments"]]
            keywords = {name: _argument(item, tensors) for name, item in header["keywords"].items()}
            started = time.perf_counter()
            result = called(*positional, **keywords)
            seconds += time.perf_counter() - started
            raw.append(serialization.unwrap_dataclass(result))
    return raw, seconds, library_calls.counts


def _argument(item: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Any:
    if "tensor" in item:
        return tensors[item["tensor"]]
    if "complex_tensor" in item:
        return torch.view_as_complex(tensors[item["complex_tensor"]].contiguous())
    if "layer" in item:
        return Layer(item["layer"])
    if "items" in item:
        return tuple(_argument(each, tensors) for each in item["items"])
    return item["value"]


def _make(kind: str, shape: list[int]) -> torch.nn.Linear | Tensor:
    if kind == "linear":
        return torch.nn.Linear(shape[0], shape[1])
    if kind == "triangle":
        return torch.ones(shape, dtype=torch.bool).tril()
    return torch.nn.Parameter(torch.randn(shape) * shape[0] ** -0.5)


def _seed(seed: int | None) -> None:
    if seed is None:
        return
    # Not torch.manual_seed: for devices that are not in use it keeps a stack trace of every call, which costs more than
    # most attention does.
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(seed)
    random.seed(seed)
