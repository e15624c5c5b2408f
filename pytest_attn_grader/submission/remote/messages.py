"""The requests to a worker and its replies, as plain frozen data. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from pytest_attn_grader.submission.remote.arguments import Argument
from pytest_attn_grader.submission.remote.seeds import worker_seed

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from pytest_attn_grader.sandbox.worker_process import WorkerProcess


@dataclass(frozen=True)
class CallSpec:
    """A request to call the submission.

    Args:
        target: a name in the submission, or the handle of a constructed object.
        method: of the target, to call instead of the target itself.
        arguments, keywords: (parameter, argument) of those passed by position, in order, and of those by name.
        rank: 4 hands over the tensors as they are, 3 loops over heads, 2 over rows and heads; 1 as 2, with (1, 1, …).
        requires_grad: names of the tensors whose gradients can be asked for.
        grad: record a graph; without it the call runs under ``torch.no_grad``.
        parameters: names of tensors sent along that stand in for the module's parameters during the call.
        dtype: to convert a module's parameters and buffers to, such as ``"float64"``.
        attributes: of the target; those that the call has set to a new tensor come back with the reply.
        training: ``train()`` or ``eval()`` on a module before the call; None leaves it.
        seed: for torch's and Python's random numbers.
        echo_inputs: send the inputs back as the call left them.
        seconds: wall clock of the call; None takes the worker's `Limits.call_seconds`.
    """

    target: str | int
    arguments: tuple[tuple[str, Argument], ...] = ()
    keywords: tuple[tuple[str, Argument], ...] = ()
    rank: int = 4
    requires_grad: tuple[str, ...] = ()
    grad: bool = False
    training: bool | None = None
    seed: int | None = None
    echo_inputs: bool = False
    seconds: float | None = None
    method: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    dtype: str | None = None
    attributes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        sent = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "seconds"}
        return {
            **sent,
            "seed": None if self.seed is None else worker_seed(self.seed),
            "op": "call",
            "arguments": [[name, asdict(argument)] for name, argument in self.arguments],
            "keywords": {name: asdict(argument) for name, argument in self.keywords},
        }


@dataclass(frozen=True)
class ResultTree:
    """The shape of what a call returned.

    Attributes:
        name: of a tensor, the key into `CallReply.tensors`.
        items: of a tuple, list or dict.
        keys: of a dict, beside `items`.
        text: of something else, what it is.
    """

    type: Literal["tensor", "tuple", "list", "dict", "none", "other"]
    name: str | None = None
    items: tuple[ResultTree, ...] = ()
    keys: tuple[str, ...] = ()
    text: str = ""


@dataclass(frozen=True)
class TensorMeta:
    """Shape, dtype and device of an input: its gradient must have the same."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device

    @classmethod
    def of(cls, tensor: Tensor) -> TensorMeta:
        return cls(tuple(tensor.shape), tensor.dtype, tensor.device)


@dataclass(frozen=True)
class CallReply:
    """The result of one call.

    Attributes:
        structure: of the returned value; tensors are named ``result`` (a bare tensor) or ``result.0``, ``result.1`` …
        tensors: by those names; plain, contiguous, sharing no memory.
        inputs_after: the inputs as the call left them, when asked for.
        handle: of the graph in the worker, when there is one.
        seconds: the student's code alone, as the worker measured it.
        library_calls: ready-made attention that was called, with counts.
        attributes: tensors that the call has left on the target, of those asked for.
        requires_grad: which tensors the worker's graph leads back from.
        inputs: the tensors whose gradients can be asked for.
    """

    structure: ResultTree
    tensors: dict[str, Tensor]
    inputs_after: dict[str, Tensor]
    handle: int | None
    seconds: float
    library_calls: dict[str, int]
    requires_grad: dict[str, bool]
    inputs: dict[str, TensorMeta] = field(default_factory=dict)
    attributes: dict[str, Tensor] = field(default_factory=dict)
    worker: WorkerProcess | None = field(default=None, repr=False)
    seconds_limit: float | None = None

    def to(self, device: torch.device) -> CallReply:
        """Return the same with all tensors on a device."""
        if device.type == "cpu":
            return self
        tensors, inputs_after, attributes = (
            {name: tensor.to(device) for name, tensor in each.items()}
            for each in (self.tensors, self.inputs_after, self.attributes)
        )
        return replace(self, tensors=tensors, inputs_after=inputs_after, attributes=attributes)


@dataclass(frozen=True)
class CachedReply:
    """The results of several calls with a cache.

    Attributes:
        replies: one for each call, in order.
        passed_on: whether a call has returned a cache, or has written into the cache object.
        seconds: the student's code alone, all calls together.
    """

    replies: tuple[CallReply, ...]
    passed_on: bool
    seconds: float


@dataclass(frozen=True)
class Parameter:
    """One parameter of a student's callable, as the worker reports it.

    Attributes:
        choices: texts that it is compared with.
        is_input_size: of a constructor: it is the number of features of what a linear layer projects.
        is_factor: of a constructor: it is multiplied by another name.
    """

    name: str
    kind: str
    has_default: bool
    default: str | None = None
    annotation: str | None = None
    choices: tuple[str, ...] = ()
    is_input_size: bool = False
    is_factor: bool = False

    @property
    def takes_position(self) -> bool:
        return self.kind in {"positional-only", "positional-or-keyword"}

    def __str__(self) -> str:
        star = {"var-positional": "*", "var-keyword": "**"}.get(self.kind, "")
        return f"{star}{self.name}={self.default}" if self.has_default else f"{star}{self.name}"


Given = Literal["", "layers", "matrices", "triangle", "triangle of four axes", "config"]


@dataclass(frozen=True)
class Candidate:
    """Something in the submission that could be what is to be graded.

    `parameters` are those of the call, of a class those of its constructor; then `forward_parameters` has the others.
    `uses` are the names in its code, `fields` the attributes of a class that is no module, `class_name` an instance's.
    `rotary_module` is a class of the submission that its constructor takes an instance of. `given` says in which way,
    not the usual one, its constructor is given projections, a mask or a configuration that may be left out.
    """

    name: str
    kind: str
    parameters: tuple[Parameter, ...]
    line: int | None = None
    file: str | None = None
    forward_parameters: tuple[Parameter, ...] = ()
    uses: frozenset[str] = frozenset()
    fields: tuple[str, ...] = ()
    class_name: str | None = None
    rotary_module: Candidate | None = None
    given: Given = ""

    @property
    def is_module(self) -> bool:
        return self.kind in {"module-class", "module-instance"}

    @property
    def called(self) -> Candidate:
        """The callable that takes tensors: the function itself, or a module's forward without self."""
        if self.kind != "module-class":
            return self
        return replace(self, name=f"{self.name}.forward", kind="callable", parameters=self.forward_parameters[1:])

    @property
    def signature(self) -> str:
        return f"{self.name}({', '.join(map(str, self.parameters))})"


@dataclass(frozen=True)
class Description:
    """The contents of a submission.

    Attributes:
        name: the attribute asked for, or the only candidate; None when there are several or none.
        candidates: what it defines, in the order of definition.
        mask_convention: the declared ``ATTN_MASK``, as written.
        files: the submission's files that were imported, relative to its root. Not trusted: they may not exist.
        changed_state: process-wide settings that the import changed, by the function that does it; they are restored.
        left_out: what of its code was not run, in words; None when all of it was.
        imported_modules: classes of modules that it imports from the submission's other files.
    """

    name: str | None
    candidates: tuple[Candidate, ...]
    mask_convention: str | None
    files: tuple[str, ...]
    transformers_imported: bool
    changed_state: tuple[str, ...] = ()
    left_out: str | None = None
    imported_modules: tuple[Candidate, ...] = ()


@dataclass(frozen=True)
class RemoteParameter:
    """One parameter of a student's module; `owner` is the class that holds it (Linear, …).

    A lazy one has no shape yet: it gets it with the first call.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    owner: str
    lazy: bool = False


@dataclass(frozen=True)
class RemoteModule:
    """The parameters and attributes of a student's module.

    Attributes:
        sizes: its public attributes that are whole numbers (num_heads, …).
        unregistered: attributes that hold tensors or modules in a way that torch does not see them as parameters.
        has_loader: whether it has a method `load_projections`.
        shared: parameters that it holds under several names; each of `parameters` goes by the first of its names.
    """

    parameters: tuple[RemoteParameter, ...]
    sizes: Mapping[str, int]
    unregistered: tuple[str, ...]
    has_loader: bool
    shared: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Constructed:
    """A new object in the worker, which names its constructor read from a config object, and constants made larger."""

    handle: int
    is_module: bool
    config_read: Mapping[str, int | float | str | bool | None]
    lengthened: Mapping[str, int] = field(default_factory=dict)
