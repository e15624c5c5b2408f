"""What a node of autograd's graph needs of whoever makes the calls; neither has to know the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

from pytest_attn_grader.sandbox.call_reply import CallReply
from pytest_attn_grader.sandbox.messages import CallSpec


class RemoteCalls(Protocol):
    """Whoever reaches the submission; raises `SubmissionError` for what its code does wrong."""

    def call(self, spec: CallSpec, tensors: Mapping[str, Tensor]) -> CallReply:
        """One call; what comes back has no graph in this process."""
        ...

    def backward(
        self, reply: CallReply, gradients: Mapping[str, Tensor], *, retain: bool = False
    ) -> dict[str, Tensor | None]:
        """The gradients of a call's inputs; None where the result does not depend on one."""
        ...

    def release(self, reply: CallReply) -> None:
        """Forget the graph of a call; may come in the middle of another one."""
        ...
