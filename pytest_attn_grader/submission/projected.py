"""One call on hidden states and projections: its inputs, its outputs, and the conventions that trials have settled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pytest_attn_grader.attention.rotation import Rotation
from pytest_attn_grader.submission.cache_arguments import CacheStyle
from pytest_attn_grader.submission.masks import PER_HEAD
from pytest_attn_grader.submission.projections.layouts import DEFAULT_LAYOUT, Layout
from pytest_attn_grader.submission.projections.matrices import Projections, unflatten
from pytest_attn_grader.submission.projections.norms import NormStyle
from pytest_attn_grader.submission.projections.projection_map import ProjectionMap
from pytest_attn_grader.submission.rotary import TableStyle


@dataclass(frozen=True)
class CallConventions:
    """The conventions of a call that the signature leaves open.

    Attributes:
        mask_shape: the shape of the masks, one of `MASK_SHAPES`.
        one_at_a_time: hidden states are ``(seq, features)``, an example a call.
        rotation: what the module does to query and key by their positions.
        tables: how rotary positions are passed to a module that takes them as arguments.
        norm: the module's norm of query and key, in a model whose layer has one.
        one_text: why queries and keys are always of the same text, though each is an argument; None where they may
            be of different ones.
        cache: how keys and values of earlier calls are passed on; None for a submission without a cache.
    """

    layout: Layout = DEFAULT_LAYOUT
    mask_shape: str = PER_HEAD
    one_at_a_time: bool = False
    rotation: Rotation | None = None
    tables: TableStyle | None = None
    one_text: str | None = None
    cache: CacheStyle | None = None
    norm: NormStyle | None = None


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


def join_weights(weights: Sequence[Tensor | None], dim: int = 0) -> Tensor | None:
    """The weights of several calls side by side; None where one of the calls has returned none."""
    known = [each for each in weights if each is not None]
    return torch.cat(known, dim) if len(known) == len(weights) else None


def heads_of(output: Tensor, shape: ProjectionMap, layout: Layout) -> Tensor:
    """The output of a call whose output projection was the identity, as ``(batch, num_heads, query_len, head_dim)``."""
    features = output[..., : shape.num_heads * shape.head_dim]
    if layout.head_order == "d h" and not shape.has_output:
        return unflatten(features, -1, (shape.head_dim, shape.num_heads)).permute(0, 3, 1, 2)
    return unflatten(features, -1, (shape.num_heads, shape.head_dim)).transpose(1, 2)
