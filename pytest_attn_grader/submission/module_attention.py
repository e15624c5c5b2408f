"""Submissions that take hidden states, as an attention like any other: probes, models and checks need not know.

A probe says query, key and value; a module takes hidden states and has projections. So the hidden states become unit
vectors, one a token, and the projections hold the probe's tensors (`one_hot_projections`): their products are the
probe's numbers exactly, and the gradients of the projections are those of query, key and value. Inside a model the
hidden states are the model's and the projections the layer's own, pretrained ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pytest_attn_grader.attention.probes import Probe, ProbeResult
from pytest_attn_grader.attention.query_key_norm import Preparation
from pytest_attn_grader.errors import UngradableError
from pytest_attn_grader.models.architectures import find_architecture
from pytest_attn_grader.results.submission import Adaptation
from pytest_attn_grader.submission.cache_arguments import CacheStyle
from pytest_attn_grader.submission.constructor_roles import is_resizable
from pytest_attn_grader.submission.contract import Contract
from pytest_attn_grader.submission.head_adapter import CallStats, HeadAdapter
from pytest_attn_grader.submission.layer_block import make_block, restriction
from pytest_attn_grader.submission.masks import PADDING
from pytest_attn_grader.submission.projected import ProjectedReference
from pytest_attn_grader.submission.projected_student import ProjectedStudent
from pytest_attn_grader.submission.student_attention import (
    NO_CACHE,
    NO_GROUPS,
    StudentAttention,
    vector_jacobian_products,
)

if TYPE_CHECKING:
    from pytest_attn_grader.submission.call_conventions import CallConventions
    from pytest_attn_grader.submission.student import Student


@dataclass(frozen=True)
class ModuleAttention(StudentAttention):
    """A module, or a function with projections as arguments, as an attention on query, key and value.

    Called like the reference it is differentiable and raises `SubmissionError`; `run_probe` never raises for the
    student's faults.

    Attributes:
        returns_scores: see `ProjectedOutputs`.
        layer_weights: see `HeadAdapter`.
    """

    student: Student
    contract: Contract
    oracle: ProjectedStudent
    adaptations: tuple[Adaptation, ...] = ()
    rank: int = 3
    returns_weights: bool = True
    returns_scores: bool = False
    layer_weights: tuple[Tensor, Tensor] | None = None
    in_causal_model: bool = True

    @property
    def heads(self) -> HeadAdapter:
        conventions = self.oracle.conventions
        layout, rotation = conventions.layout, conventions.rotation
        return HeadAdapter(self.oracle, layout, rotation, self.preparation, self.layer_weights)

    @property
    def preparation(self) -> Preparation | None:
        """The steps before the scores that it takes itself, where it normalises query and key; None otherwise."""
        norm = self.oracle.conventions.norm
        return None if norm is None else Preparation(norm.over, self.oracle.conventions.rotation)

    @property
    def sliding_window(self) -> int | None:
        """Window of the graded layer: how many keys, its own included, a query sees; None for all of the past."""
        return self.oracle.steps.sliding_window

    @property
    def takes_groups(self) -> bool:
        """Whether keys and values may have fewer heads than queries."""
        return self.oracle.takes_groups

    @property
    def rotary_base(self) -> float | None:
        """Base of the model's rotary positions, which it has to apply itself; None in a model without them."""
        return self.oracle.steps.rotary_base

    @property
    def masks_padding_only(self) -> bool:
        """Whether its mask has one row for all queries, (batch, key), in which no future can be hidden."""
        masks = {"mask", "key_padding_mask"} & self.contract.roles
        return len(masks) == 1 and self.oracle.conventions.mask_shape == PADDING

    @property
    def keeps_cache(self) -> bool:
        """Whether a model can ask it about one new token at a time: it would need the hidden states of all others."""
        return False

    @property
    def takes_dropout(self) -> bool:
        """Whether its probability of dropout can be set, by its constructor or through a config object."""
        return self.contract.takes_dropout or self.oracle.reads_dropout

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor | None = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Run one forward pass; see `StudentAttention`."""
        if keep_mask is None:
            keep_mask = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device)[None, None]
        keep_mask = keep_mask.expand(query.shape[0], 1, query.shape[-2], key.shape[-2])
        attn_output, attn_weights = self.heads.attend(query, key, value, keep_mask, CallStats())
        return attn_output if attn_weights is None else (attn_output, attn_weights)

    def why_weights_unavailable(self, num_heads: int, head_dim: int, tokens: int) -> str | None:
        """Why its weights are unknown on a text of so many tokens; None when they come back or can be recovered."""
        shape = self.oracle.shape_for(num_heads, head_dim, width=num_heads * head_dim)
        if self.returns_weights or shape.width is None or tokens <= shape.width:
            return None
        return (
            f"it keeps its weights to itself, and from a module {shape.width} wide they can be recovered up to "
            f"{shape.width} tokens, not for {tokens}"
        )

    def unsupported_reason(self, probe: Probe) -> str | None:
        """Why this probe cannot be put to this submission; None when it can."""
        query_len, key_len = probe.query.shape[-2], probe.key.shape[-2]
        if probe.group_size > 1 and not self.takes_groups:
            return NO_GROUPS
        if probe.chunks and (reason := self._why_no_chunks(probe.chunks)):
            return reason
        if query_len != key_len and not self.oracle.takes_key_states:
            return "it takes the hidden states of one text, so there is always one query a key"
        shape = self.oracle.shape_for(probe.query.shape[1], probe.query.shape[-1])
        if shape.width is not None and key_len > shape.width:
            made = f"for these heads it is {shape.width} wide, which"
            if not is_resizable(self.contract.candidate):
                made = f"a module {shape.width} wide"
            return f"{made} holds at most {shape.width} arbitrary tokens, and these are {key_len}"
        if probe.query.shape[-1] > shape.head_dim and key_len > shape.head_dim:
            return (
                f"a head of {shape.head_dim} dimensions holds the scores of {shape.head_dim} tokens, not of {key_len}"
            )
        return None

    def _probe_result(self, probe: Probe) -> ProbeResult:
        wanted = probe.upstream is not None
        leaves = {name: tensor.detach().clone().requires_grad_(wanted) for name, tensor in probe.inputs.items()}
        how: dict[str, Any] = {"training": probe.training, "dropout_p": probe.dropout_p, "seed": probe.seed}
        stats = CallStats()
        key, value = (leaves[name][:, :: probe.group_size] for name in ("key", "value"))
        if probe.chunks:
            with torch.no_grad():
                attn_output, _ = self.heads.attend(
                    probe.query, key, value, probe.keep_mask, stats, chunks=probe.chunks, **how
                )
            return ProbeResult(probe=probe.name, attn_output=attn_output, seconds=stats.seconds)
        with torch.set_grad_enabled(wanted):
            attn_output, attn_weights = self.heads.attend(
                leaves["query"], key, value, probe.keep_mask, stats, watch_inputs=True, **how
            )
        # Before any further call: a module with a cache writes into what this backward pass needs.
        gradients, gradient_failure = vector_jacobian_products(attn_output, probe.upstream, leaves)
        if attn_weights is None:
            with torch.no_grad():
                attn_weights = self.heads.recover_weights(probe.query, key.detach(), probe.keep_mask, stats, **how)
        return ProbeResult(
            probe=probe.name,
            attn_output=attn_output.detach(),
            attn_weights=attn_weights.detach(),
            weights_returned=stats.weights_returned,
            output_requires_grad=attn_output.requires_grad if wanted else None,
            gradients=gradients,
            gradient_failure=gradient_failure,
            changed=tuple(stats.changed),
            seconds=stats.seconds,
        )

    def with_contract(self, contract: Contract) -> ModuleAttention:
        """The same attention, called by another contract."""
        return replace(self, contract=contract, oracle=replace(self.oracle, contract=contract))

    def with_adaptations(self, adaptations: tuple[Adaptation, ...]) -> ModuleAttention:
        """The same attention, with these notes."""
        return replace(self, adaptations=adaptations)

    def _why_no_chunks(self, chunks: tuple[int, ...]) -> str | None:
        cache = self.oracle.conventions.cache
        if cache is None:
            return NO_CACHE
        return "its cache takes one new token at a time" if cache.single_tokens and max(chunks[1:]) > 1 else None

    def with_cache(self, style: CacheStyle) -> ModuleAttention:
        """The same attention, whose cache is passed on in this way."""
        return self.with_conventions(replace(self.oracle.conventions, cache=style))

    def with_conventions(self, conventions: CallConventions) -> ModuleAttention:
        """The same attention, whose module is called by these conventions."""
        return replace(self, oracle=replace(self.oracle, conventions=conventions))

    def with_student(self, student: Student) -> ModuleAttention:
        """The same attention in another worker."""
        return replace(self, student=student, oracle=replace(self.oracle, student=student))

    def for_layer(self, model: Any, layer_idx: int) -> Any:
        """The replacement of a layer's attention: a block with the layer's projections where possible."""
        layered = self._constructed_for(model, layer_idx)
        if self.preparation is not None:
            return replace(layered, layer_weights=self._read_layer_weights(model, layer_idx))
        block = make_block(self.oracle, self.oracle, model, layer_idx)
        return layered if block is None else block

    def _constructed_for(self, model: Any, layer_idx: int) -> ModuleAttention:
        """The same module, constructed with this layer's rotary base and sliding window, which may be another's."""
        layer = find_architecture(model).layer_steps(layer_idx)
        if layer.rotary_base is None:
            return self
        steps = replace(self.oracle.steps, rotary_base=layer.rotary_base, sliding_window=layer.sliding_window)
        oracle = replace(self.oracle, steps=steps)
        rotation = oracle.conventions.rotation
        if rotation is not None:
            rotation = replace(rotation, base=layer.rotary_base)
            oracle = replace(oracle, conventions=replace(oracle.conventions, rotation=rotation))
        return replace(self, oracle=oracle)

    def _read_layer_weights(self, model: Any, layer_idx: int) -> tuple[Tensor, Tensor]:
        architecture = find_architecture(model)
        norm, base = architecture.query_key_norms[layer_idx], architecture.rotary_bases[layer_idx]
        assert self.preparation is not None
        if norm is None or norm.over != self.preparation.over or base is None:
            raise UngradableError(
                f"Layer {layer_idx} of this model normalises or rotates query and key in another way than the first "
                "graded layer, so one module cannot be put into both. Grade one layer: --attn-layer."
            )
        return norm.query_weight, norm.key_weight

    def layer_restriction(self, model: Any, layer_idx: int) -> str | None:
        """The parts of this layer that it cannot hold. The reference omits them too."""
        return restriction(self.oracle, model, layer_idx)

    def reference_as_layer(self, model: Any, layer_idx: int) -> Any:
        """The reference through the same adapter; None when the adapter loses nothing."""
        if self.layer_restriction(model, layer_idx) is None:
            return None
        return make_block(ProjectedReference(self.oracle), self.oracle, model, layer_idx)
