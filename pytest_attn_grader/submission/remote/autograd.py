"""One remote call as a node of this process's autograd graph."""

from __future__ import annotations

import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pytest_attn_grader.submission.remote.messages import CallReply, CallSpec

if TYPE_CHECKING:
    from pytest_attn_grader.submission.remote.client import SandboxClient

_NOTHING = torch.empty(0)


class _Graph:
    """The call that a node of autograd's graph stands for; when the node dies, the worker may forget its graph."""

    def __init__(self, caller: SandboxClient, reply: CallReply) -> None:
        self.caller = caller
        self.reply = reply
        if reply.handle is not None and reply.worker is not None:
            weakref.finalize(self, caller.release, reply).atexit = False


class RemoteFunction(torch.autograd.Function):
    """Forward and backward of one remote call."""

    @staticmethod
    def forward(
        ctx: Any,
        caller: SandboxClient,
        spec: CallSpec,
        names: tuple[str, ...],
        kept: list[CallReply],
        *values: Tensor,
    ) -> tuple[Tensor, ...]:
        reply = caller.call(spec, dict(zip(names, values, strict=True)))
        kept.append(reply)
        ctx.graph = _Graph(
            caller, replace(reply, tensors=dict.fromkeys(reply.tensors, _NOTHING), inputs_after={}, attributes={})
        )
        ctx.names = names
        ctx.set_materialize_grads(False)
        flat = [name for name, differentiable in reply.requires_grad.items() if not differentiable]
        ctx.mark_non_differentiable(*[reply.tensors[name] for name in flat])
        return tuple(reply.tensors.values())

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *upstream: Tensor | None) -> tuple[Any, ...]:
        graph: _Graph = ctx.graph
        reply = graph.reply
        given = {
            name: gradient
            for name, gradient in zip(reply.tensors, upstream, strict=True)
            if gradient is not None and reply.requires_grad[name]
        }
        # Kept until the node dies: whether the caller retains its graph is not known here.
        found = graph.caller.backward(reply, given, retain=True) if given else {}
        return None, None, None, None, *(found.get(name) for name in ctx.names)
