"""What one call of the submission came to, once the worker's reply has been checked."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from pytest_attn_grader.sandbox.worker_process import WorkerProcess


@dataclass(frozen=True)
class ResultTree:
    """The shape of what a call returned.

    Attributes:
        type: tensor, tuple, list, dict, none or other.
        name: of a tensor, the key into `CallReply.tensors`.
        items: of a tuple, list or dict.
        keys: of a dict, beside `items`.
        text: of something else, what it is.
    """

    type: str
    name: str | None = None
    items: tuple[ResultTree, ...] = ()
    keys: tuple[str, ...] = ()
    text: str = ""


@dataclass(frozen=True)
class Shape:
    """What is remembered of an input to check its gradient against."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device

    @classmethod
    def of(cls, tensor: Tensor) -> Shape:
        """Return the shape, dtype and device of a tensor."""
        return cls(tuple(tensor.shape), tensor.dtype, tensor.device)


@dataclass(frozen=True)
class CallReply:
    """What one call came to.

    Attributes:
        structure: of the returned value; tensors are named ``result`` (a bare tensor) or ``result.0``, ``result.1`` …
        tensors: by those names; plain, contiguous, of their own memory.
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
    inputs: dict[str, Shape] = field(default_factory=dict)
    attributes: dict[str, Tensor] = field(default_factory=dict)
    worker: WorkerProcess | None = field(default=None, repr=False)
    seconds_limit: float | None = None

    def to(self, device: torch.device) -> CallReply:
        """Return the same with all tensors on a device."""
        if device.type == "cpu":
            return self
        return replace(
            self,
            tensors={name: tensor.to(device) for name, tensor in self.tensors.items()},
            inputs_after={name: tensor.to(device) for name, tensor in self.inputs_after.items()},
            attributes={name: tensor.to(device) for name, tensor in self.attributes.items()},
        )
