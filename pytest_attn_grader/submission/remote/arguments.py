"""The arguments of a call or a constructor, as plain frozen data. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class TensorRef:
    """An argument that is one of the tensors sent along."""

    tensor: str

    def to_json(self) -> dict[str, Any]:
        return {"tensor": self.tensor}


@dataclass(frozen=True)
class ComplexTensorRef:
    """An argument of complex numbers: a tensor sent along, whose last dimension is real and imaginary part."""

    tensor: str

    def to_json(self) -> dict[str, Any]:
        return {"complex": self.tensor}


@dataclass(frozen=True)
class LiteralArgument:
    """An argument that is a plain value: a number, a string, a bool, None."""

    value: float | str | bool | None

    def to_json(self) -> dict[str, Any]:
        return {"value": self.value}


@dataclass(frozen=True)
class ConfigObject:
    """An argument that answers to these names, as attributes and as keys: a stand-in for a configuration class.

    `class_name` is the submission's own configuration class, whose other attributes it answers to as well. What is
    compared with texts is one of them that contains one of the `usual_words`, the first of these that there is.
    """

    values: Mapping[str, float | str | bool | None]
    class_name: str | None = None
    usual_words: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"config": dict(self.values), "class": self.class_name, "usual": self.usual_words}


@dataclass(frozen=True)
class LayerObject:
    """An argument that stands in for the layer that calls a function: it answers to these names as attributes."""

    values: Mapping[str, float | str | bool | None]

    def to_json(self) -> dict[str, Any]:
        return {"layer": dict(self.values)}


@dataclass(frozen=True)
class ModuleArgument:
    """An argument that is an instance of one of the submission's classes, made with these keywords."""

    class_name: str
    values: Mapping[str, float | str | bool | None]

    def to_json(self) -> dict[str, Any]:
        return {"module": self.class_name, "keywords": dict(self.values)}


@dataclass(frozen=True)
class MadeArgument:
    """An argument of a constructor that is made in the worker.

    Attributes:
        kind: ``linear``, a layer from shape[0] to shape[1] features; ``parameter``, random numbers; ``triangle``, a
            boolean mask, True where a query may attend.
    """

    kind: Literal["linear", "parameter", "triangle"]
    shape: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        return {"made": self.kind, "shape": list(self.shape)}


@dataclass(frozen=True)
class TupleArgument:
    """An argument that is a tuple of others."""

    items: tuple[TensorRef | LiteralArgument, ...]

    def to_json(self) -> dict[str, Any]:
        return {"items": [item.to_json() for item in self.items]}


FirstCache = Literal["nothing", "pair", "list", "empty", "object"]


@dataclass(frozen=True)
class CacheArgument:
    """An argument of a call with a cache: what the call before has returned as its cache.

    Attributes:
        first: what there is until a call returns one: None, ``(None, None)``, ``[None, None]``, ``[]``, or an
            empty cache object, as transformers passes it, which every call gets, whatever is returned.
    """

    first: FirstCache = "nothing"

    def to_json(self) -> dict[str, Any]:
        return {"cache": self.first}


Argument = (
    TensorRef
    | ComplexTensorRef
    | LiteralArgument
    | ConfigObject
    | LayerObject
    | ModuleArgument
    | MadeArgument
    | TupleArgument
    | CacheArgument
)
