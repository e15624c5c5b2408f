"""Measure round trips between grader and worker, so that their cost is not charged to the student."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class RoundTrip:
    """One request, there and back.

    Attributes:
        op: what the worker was asked to do.
        sent, received: shape and dtype of each tensor that crossed.
        seconds: wall clock of all of it, measured on the grader's side, where no submission can turn the clock.
        inside: what the worker says that the student's code took of it; a submission could make it say less.
    """

    op: str
    sent: Mapping[str, tuple[torch.Size, torch.dtype]]
    received: Mapping[str, tuple[torch.Size, torch.dtype]]
    seconds: float
    inside: float

    @property
    def dummy_tensors(self) -> dict[str, Tensor]:
        """Tensors as large as those that were sent."""
        return {name: torch.zeros(shape, dtype=dtype) for name, (shape, dtype) in self.sent.items()}

    @property
    def echo(self) -> dict[str, object]:
        """The request to send as much back and to compute nothing."""
        back = {
            name: [list(shape), str(dtype).removeprefix("torch.")] for name, (shape, dtype) in self.received.items()
        }
        return {"op": "echo", "back": back}


def worker_seconds(reply: Mapping[str, object], seconds: float) -> float:
    """The worker's own figure from a reply, as far as it can be true."""
    said = reply.get("seconds")
    return min(float(said), seconds) if isinstance(said, (int, float)) and said > 0 else 0.0


def sizes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[torch.Size, torch.dtype]]:
    """Return the shape and dtype of each tensor."""
    return {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}
