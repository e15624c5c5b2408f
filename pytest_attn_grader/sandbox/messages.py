"""How a call is asked for: plain frozen data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class TensorRef:
    """An argument that is one of the tensors sent along."""

    tensor: str

    def to_json(self) -> dict[str, Any]:
        return {"tensor": self.tensor}


@dataclass(frozen=True)
class LiteralArgument:
    """An argument that is a plain value: a number, a string, a bool, None."""

    value: float | str | bool | None

    def to_json(self) -> dict[str, Any]:
        return {"value": self.value}


@dataclass(frozen=True)
class ConfigObject:
    """An argument that answers to these names, as attributes and as keys: a stand-in for a configuration class."""

    values: Mapping[str, float | str | bool | None]

    def to_json(self) -> dict[str, Any]:
        return {"config": dict(self.values)}


@dataclass(frozen=True)
class TupleArgument:
    """An argument that is a tuple of others."""

    items: tuple[TensorRef | LiteralArgument, ...]

    def to_json(self) -> dict[str, Any]:
        return {"items": [item.to_json() for item in self.items]}


Argument = TensorRef | LiteralArgument | ConfigObject | TupleArgument


@dataclass(frozen=True)
class CallSpec:
    """How to call the submission.

    Args:
        target: a name in the submission, or the handle of a constructed object.
        method: of the target, to be called instead of the target itself.
        arguments: positional ones in order, as (parameter, argument).
        keywords: the ones passed by name.
        rank: 4 hands over the tensors as they are, 3 loops over heads, 2 over batch rows and heads.
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
        return {
            "op": "call",
            "target": self.target,
            "arguments": [[name, argument.to_json()] for name, argument in self.arguments],
            "keywords": {name: argument.to_json() for name, argument in self.keywords},
            "rank": self.rank,
            "requires_grad": list(self.requires_grad),
            "grad": self.grad,
            "training": self.training,
            "seed": self.seed,
            "echo_inputs": self.echo_inputs,
            "method": self.method,
            "parameters": dict(self.parameters),
            "dtype": self.dtype,
            "attributes": list(self.attributes),
        }
