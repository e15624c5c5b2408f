"""Attentions of this package that answer probes in this process: the reference and every known mistake."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from pytest_attn_grader.attention.probes.probe import Probe
from pytest_attn_grader.attention.probes.record import ProbeResult
from pytest_attn_grader.attention.query_key_norm import Preparation


class AttentionFunction(Protocol):
    """A local attention: `(query, key, value, keep_mask, dropout_p=, training=) -> (attn_output, attn_weights)`.

    An attribute `norm` replaces the preparation of query and key, where a probe has one.
    """

    def __call__(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        keep_mask: Tensor | None = None,
        *,
        dropout_p: float = 0.0,
        training: bool = False,
    ) -> tuple[Tensor, Tensor | None]: ...


@dataclass(frozen=True)
class InProcessAttention:
    """Our own code put to a probe: the reference or a misconception, in this process."""

    function: AttentionFunction

    def run_probe(self, probe: Probe) -> ProbeResult:
        wants_gradients = probe.upstream is not None
        leaves = {
            name: tensor.detach().clone().requires_grad_(wants_gradients) for name, tensor in probe.inputs.items()
        }
        # A copy of each leaf, as inside a model: a mistake that writes into its inputs must be able to do so.
        inputs = {name: leaf.clone() for name, leaf in leaves.items()}
        keep_mask = probe.keep_mask.clone()
        with torch.random.fork_rng(devices=[]), torch.set_grad_enabled(wants_gradients):
            # Not torch.manual_seed: it records a stack trace for CUDA, which costs more than the attention itself.
            torch.default_generator.manual_seed(probe.seed)
            query, key = inputs["query"], inputs["key"]
            if probe.preparation is not None:
                query, key = getattr(self.function, "norm", Preparation.__call__)(probe.preparation, query, key)
            attn_output, attn_weights = self.function(
                query, key, inputs["value"], keep_mask, dropout_p=probe.dropout_p, training=probe.training
            )
        gradients: dict[str, Tensor | None] = {}
        if probe.upstream is not None:
            gradients = _gradients(attn_output, probe.upstream, leaves)
        return ProbeResult(
            probe=probe.name,
            attn_output=attn_output.detach(),
            attn_weights=None if attn_weights is None else attn_weights.detach(),
            weights_returned=attn_weights is not None,
            output_requires_grad=attn_output.requires_grad,
            gradients=gradients,
            inputs_after={**{name: tensor.detach() for name, tensor in inputs.items()}, "keep_mask": keep_mask},
        )


def _gradients(attn_output: Tensor, upstream: Tensor, leaves: Mapping[str, Tensor]) -> dict[str, Tensor | None]:
    if not attn_output.requires_grad:
        return dict.fromkeys(leaves)
    found = torch.autograd.grad(attn_output, tuple(leaves.values()), upstream.to(attn_output), allow_unused=True)
    return dict(zip(leaves, found, strict=True))
