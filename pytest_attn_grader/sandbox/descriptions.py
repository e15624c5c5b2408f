"""What a submission consists of, as its worker describes it, once the reply has been checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Parameter:
    """One parameter of a student's callable, as the worker reports it."""

    name: str
    kind: str
    has_default: bool
    default: str | None = None

    @property
    def takes_position(self) -> bool:
        return self.kind in {"positional-only", "positional-or-keyword"}

    def __str__(self) -> str:
        star = {"var-positional": "*", "var-keyword": "**"}.get(self.kind, "")
        return f"{star}{self.name}={self.default}" if self.has_default else f"{star}{self.name}"


@dataclass(frozen=True)
class Candidate:
    """Something in the submission that could be what is to be graded.

    `parameters` are those of the call, of a class those of its constructor; then `forward_parameters` has the others.
    """

    name: str
    kind: str
    parameters: tuple[Parameter, ...]
    line: int | None = None
    file: str | None = None
    forward_parameters: tuple[Parameter, ...] = ()

    @property
    def is_module(self) -> bool:
        return self.kind in {"module-class", "module-instance"}

    @property
    def called(self) -> Candidate:
        """What is called with tensors: the function itself, or a module's forward."""
        if self.kind != "module-class":
            return self
        return replace(self, name=f"{self.name}.forward", kind="callable", parameters=_without_self(self))

    @property
    def signature(self) -> str:
        return f"{self.name}({', '.join(map(str, self.parameters))})"


def _without_self(candidate: Candidate) -> tuple[Parameter, ...]:
    """A class's forward is reported unbound."""
    return candidate.forward_parameters[1:]


@dataclass(frozen=True)
class Description:
    """What is in a submission.

    Attributes:
        name: the attribute asked for, or the only candidate; None when there are several or none.
        candidates: what it defines, in the order of definition.
        mask_convention: the declared ``ATTN_MASK``, as written.
        files: the submission's files that were imported, relative to its root. Not trusted: they may not exist.
        transformers_imported: whether it imports transformers.
    """

    name: str | None
    candidates: tuple[Candidate, ...]
    mask_convention: str | None
    files: tuple[str, ...]
    transformers_imported: bool


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
    """How a student's module is built.

    Attributes:
        sizes: its public attributes that are whole numbers (num_heads, …).
        unregistered: attributes that hold tensors or modules in a way that torch does not see them as parameters.
        has_loader: whether it has a method `load_projections`.
    """

    parameters: tuple[RemoteParameter, ...]
    sizes: Mapping[str, int]
    unregistered: tuple[str, ...]
    has_loader: bool


@dataclass(frozen=True)
class Constructed:
    """A new object in the worker, and which names its constructor read from a config object."""

    handle: int
    is_module: bool
    config_read: Mapping[str, Any]
