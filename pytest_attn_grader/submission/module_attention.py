"""Submissions that take hidden states, as an attention like any other: probes, models and checks need not know.

A probe says query, key and value; a module takes hidden states and has projections. So the hidden states become unit
vectors, one a token, and the projections hold the probe's tensors (`one_hot_projections`): their products are the
probe's numbers exactly, and the gradients of the projections are those of query, key and value. Inside a model the
hidden states are the model's and the projections the layer's own, pretrained ones.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from torch import Tensor

from pytest_attn_grader.attention.probes import Probe
from pytest_attn_grader.attention.query_key_norm import Preparation
from pytest_attn_grader.errors import UngradableError
from pytest_attn_grader.models.architectures import LayerSteps, find_architecture
from pytest_attn_grader.submission.constructor_roles import is_resizable
from pytest_attn_grader.submission.head_adapter import HeadAdapter
from pytest_attn_grader.submission.layer_block import make_block, restriction
from pytest_attn_grader.submission.masks import PADDING
from pytest_attn_grader.submission.projected import CallConventions
from pytest_attn_grader.submission.projected_student import ProjectedReference, ProjectedStudent
from pytest_attn_grader.submission.student_attention import (
    NO_CACHE,
    NO_GROUPS,
    USUAL,
    Attended,
    CallMode,
    StudentAttention,
)


@dataclass(frozen=True)
class ModuleAttention(StudentAttention):
    """A module, or a function with projections as arguments, as an attention on query, key and value.

    Attributes:
        steps: of the graded model's layer, which it takes itself.
        returns_scores: see `ProjectedOutputs`.
        layer_weights: see `HeadAdapter`.
    """

    conventions: CallConventions = field(default_factory=CallConventions)
    steps: LayerSteps = field(default_factory=LayerSteps)
    returns_weights: bool = True
    returns_scores: bool = False
    layer_weights: tuple[Tensor, Tensor] | None = None

    @property
    def oracle(self) -> ProjectedStudent:
        return ProjectedStudent(self.student, self.contract, self.conventions, self.steps)

    @property
    def reference(self) -> ProjectedReference:
        """The reference in the place of the submission, called by the same conventions."""
        return ProjectedReference(self.student, self.contract, self.conventions, self.steps)

    @property
    def heads(self) -> HeadAdapter:
        return HeadAdapter(self.oracle, self.layer_weights)

    @property
    def preparation(self) -> Preparation | None:
        return self.oracle.preparation

    @property
    def sliding_window(self) -> int | None:
        return self.steps.sliding_window

    @property
    def takes_groups(self) -> bool:
        return self.oracle.takes_groups

    @property
    def rotary_base(self) -> float | None:
        return self.steps.rotary_base

    @property
    def masks_padding_only(self) -> bool:
        masks = {"mask", "key_padding_mask"} & self.contract.roles
        return len(masks) == 1 and self.conventions.mask_shape == PADDING

    @property
    def keeps_cache(self) -> bool:
        """Whether a model can ask it about one new token at a time: it would need the hidden states of all others."""
        return False

    @property
    def takes_dropout(self) -> bool:
        """Whether its probability of dropout can be set, by its constructor or through a config object."""
        return self.contract.takes_dropout or self.oracle.reads_dropout

    def attend(self, query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor, mode: CallMode = USUAL) -> Attended:
        heads = self.heads
        keep_mask = keep_mask.expand(query.shape[0], 1, query.shape[-2], key.shape[-2])
        attn_output, attn_weights = heads.attend(query, key, value, keep_mask, **asdict(mode))
        return Attended(attn_output, attn_weights, heads.stats.seconds, tuple(heads.stats.changed))

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

    def _why_no_chunks(self, chunks: tuple[int, ...]) -> str | None:
        cache = self.conventions.cache
        if cache is None:
            return NO_CACHE
        return "its cache takes one new token at a time" if cache.single_tokens and max(chunks[1:]) > 1 else None

    def for_layer(self, model: Any, layer_idx: int) -> Any:
        """The replacement of a layer's attention: a block with the layer's projections where possible."""
        layered = self._constructed_for(model, layer_idx)
        if self.preparation is not None:
            return replace(layered, layer_weights=self._read_layer_weights(model, layer_idx))
        block = make_block(self.oracle, model, layer_idx)
        return layered if block is None else block

    def _constructed_for(self, model: Any, layer_idx: int) -> ModuleAttention:
        """The same module, constructed with this layer's rotary base and sliding window, which may be another's."""
        layer = find_architecture(model).layer_steps(layer_idx)
        if layer.rotary_base is None:
            return self
        steps = replace(self.steps, rotary_base=layer.rotary_base, sliding_window=layer.sliding_window)
        rotation = self.conventions.rotation
        if rotation is not None:
            rotation = replace(rotation, base=layer.rotary_base)
        return replace(self, steps=steps, conventions=replace(self.conventions, rotation=rotation))

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
        return restriction(self.oracle, model, layer_idx)

    def reference_as_layer(self, model: Any, layer_idx: int) -> Any:
        """The reference through the same adapter; None when the adapter loses nothing."""
        if self.layer_restriction(model, layer_idx) is None:
            return None
        return make_block(self.reference, model, layer_idx)
