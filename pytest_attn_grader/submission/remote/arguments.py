"""The arguments of a call or a constructor, as plain frozen data: the worker knows each by its fields.

Imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class TensorRef:
    """An argument that is one of the tensors sent along."""

    tensor: str


@dataclass(frozen=True)
class ComplexTensorRef:
    """An argument of complex numbers: a tensor sent along, whose last dimension is real and imaginary part."""

    complex_tensor: str


@dataclass(frozen=True)
class LiteralArgument:
    """An argument that is a plain value: a number, a string, a bool, None."""

    value: float | str | bool | None


@dataclass(frozen=True)
class ConfigObject:
    """An argument that answers to these names, as attributes and as keys: a stand-in for a configuration class.

    `class_name` is the submission's own configuration class, whose other attributes it answers to as well. What is
    compared with texts is one of them that contains one of the `usual_words`, the first of these that there is.
    """

    config: Mapping[str, float | str | bool | None]
    class_name: str | None = None
    usual_words: tuple[str, ...] = ()


@dataclass(frozen=True)
class LayerObject:
    """An argument that stands in for the layer that calls a function: it answers to these names as attributes."""

    layer: Mapping[str, float | str | bool | None]


@dataclass(frozen=True)
class ModuleArgument:
    """An argument that is an instance of one of the submission's classes, made with these keywords."""

    module: str
    keywords: Mapping[str, float | str | bool | None]


@dataclass(frozen=True)
class MadeArgument:
    """An argument of a constructor that is made in the worker.

    Attributes:
        made: ``linear``, a layer from shape[0] to shape[1] features; ``parameter``, random numbers; ``triangle``, a
            boolean mask, True where a query may attend.
    """

    made: Literal["linear", "parameter", "triangle"]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class TupleArgument:
    """An argument that is a tuple of others."""

    items: tuple[TensorRef | LiteralArgument, ...]


FirstCache = Literal["nothing", "pair", "list", "empty", "object"]


@dataclass(frozen=True)
class CacheArgument:
    """An argument of a call with a cache: what the call before has returned as its cache.

    Attributes:
        cache: what there is until a call returns one: None, ``(None, None)``, ``[None, None]``, ``[]``, or an
            empty cache object, as transformers passes it, which every call gets, whatever is returned.
    """

    cache: FirstCache = "nothing"


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
