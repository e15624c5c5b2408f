"""Attention on hidden states and projections: a student's module or function, or the reference.

An oracle has fixed sizes; `head_adapter.py` makes any heads fit them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from pytest_attn_grader.attention.reference import reference_attention
from pytest_attn_grader.attention.rotation import Rotation, rotate
from pytest_attn_grader.submission.projections.custom_loader import LoaderMap
from pytest_attn_grader.submission.projections.layouts import Layout
from pytest_attn_grader.submission.projections.matrices import Projections, unflatten
from pytest_attn_grader.submission.projections.projection_map import ProjectionMap


@dataclass(frozen=True)
class InstanceSizes:
    """The sizes of one instance.

    Attributes:
        width: features of its hidden states; None takes any.
        target: name or handle of what is called.
        num_key_value_heads: heads of keys and values; None for one for every query head.
        loading: replaces `found` for a module that defines a loader.
    """

    width: int | None
    num_heads: int
    head_dim: int
    has_input_biases: bool
    has_output: bool
    has_output_bias: bool
    out_features: int
    target: str | int
    found: ProjectionMap
    loading: LoaderMap | None = None
    num_key_value_heads: int | None = None

    @property
    def key_value_heads(self) -> int:
        """The number of key/value heads."""
        return self.num_key_value_heads or self.num_heads


@dataclass(frozen=True)
class ProjectedInputs:
    """One call.

    Attributes:
        query_states, key_states: ``(batch, length, width)``; the same tensor in self-attention.
        keep_mask: bool ``(batch, 1, query_len, key_len)``.
        valid_lens: ``(batch,)``, how many of the first keys may be attended to, where a submission takes that.
        norm_weights: of the norms of query and key, where the submission has them.
        watch_inputs: whether the inputs are looked at again after the call.
        chunks: how many tokens each of several calls gets, which pass a cache on; empty for one call.
        past: how many tokens earlier calls have had.
        value_states: of the values, where they are not those of the keys.
    """

    query_states: Tensor
    key_states: Tensor
    projections: Projections
    keep_mask: Tensor
    training: bool = False
    dropout_p: float = 0.0
    seed: int | None = None
    watch_inputs: bool = False
    valid_lens: Tensor | None = None
    chunks: tuple[int, ...] = ()
    past: int = 0
    norm_weights: tuple[Tensor, Tensor] | None = None
    value_states: Tensor | None = None


@dataclass(frozen=True)
class ProjectedOutputs:
    """The result of a call.

    Attributes:
        output: ``(batch, query_len, out_features)``; without an output projection the heads side by side.
        attn_weights: ``(batch, num_heads, query_len, key_len)``, if they were returned or kept.
        returns_scores: whether a tensor came back in the place of the weights that has negative numbers.
    """

    output: Tensor
    attn_weights: Tensor | None = None
    seconds: float = 0.0
    changed: tuple[str, ...] = ()
    returns_scores: bool = False


class ProjectedAttention(Protocol):
    """Anything that takes hidden states and projections."""

    def shape_for(
        self,
        num_heads: int,
        head_dim: int,
        *,
        num_key_value_heads: int | None = None,
        width: int | None = None,
        dropout_p: float = 0.0,
        dtype: torch.dtype = torch.float32,
    ) -> InstanceSizes:
        """The instance that is asked about so many heads, in this dtype; `width` where the model's own is wanted."""
        ...

    def forward(self, shape: InstanceSizes, inputs: ProjectedInputs) -> ProjectedOutputs:
        """One call, differentiable with respect to hidden states and projections."""
        ...


@dataclass(frozen=True)
class ProjectedReference:
    """The reference in the place of a student's oracle: what comes of the adapter alone.

    Attributes:
        rotation: by positions, which the student's oracle does itself; None for none.
    """

    like: ProjectedAttention
    rotation: Rotation | None = None

    @property
    def shape_for(self) -> Callable[..., InstanceSizes]:
        """As the student's."""
        return self.like.shape_for

    def forward(self, shape: InstanceSizes, inputs: ProjectedInputs) -> ProjectedOutputs:
        query, _, _ = inputs.projections.query_key_value(inputs.query_states)
        _, key, value = inputs.projections.query_key_value(inputs.key_states)
        if inputs.value_states is not None:
            _, _, value = inputs.projections.query_key_value(inputs.value_states)
        if self.rotation is not None:
            query, key = rotate(query, self.rotation), rotate(key, self.rotation)
        shared = query.shape[1] // key.shape[1]
        key, value = (tensor.repeat_interleave(shared, dim=1) for tensor in (key, value))
        attn_output, attn_weights = reference_attention(query, key, value, inputs.keep_mask)
        return ProjectedOutputs(inputs.projections.project_output(attn_output), attn_weights)


def heads_of(output: Tensor, shape: InstanceSizes, layout: Layout) -> Tensor:
    """The output of a call whose output projection was the identity, as ``(batch, num_heads, query_len, head_dim)``."""
    features = output[..., : shape.num_heads * shape.head_dim]
    if layout.head_order == "d h" and not shape.has_output:
        return unflatten(features, -1, (shape.head_dim, shape.num_heads)).permute(0, 3, 1, 2)
    return unflatten(features, -1, (shape.num_heads, shape.head_dim)).transpose(1, 2)
