"""Attention over any heads, computed by an oracle with fixed sizes, and the statistics of its calls."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from pytest_attn_grader.attention.query_key_norm import Preparation, enlarge
from pytest_attn_grader.attention.rotation import rotate_both
from pytest_attn_grader.submission.projected import ProjectedInputs, ProjectedOutputs, heads_of, join_weights
from pytest_attn_grader.submission.projected_student import ProjectedStudent
from pytest_attn_grader.submission.projections.matrices import (
    Projections,
    concatenated_projections,
    one_hot_projections,
)
from pytest_attn_grader.submission.projections.projection_map import ProjectionMap
from pytest_attn_grader.submission.projections.widths import (
    fit_head_dim,
    fit_width,
    group_heads,
    pad_head_dim,
    reduce_head_dim,
)

# Larger than the number of seeds that are tried one after another.
_SEED_STEP = 1_000_003


@dataclass
class CallStats:
    """Sums over several calls: their time, changed inputs, and the largest residual."""

    seconds: float = 0.0
    changed: list[str] = field(default_factory=list)
    residual: float = 0.0
    returns_scores: bool = False

    def add(self, answer: ProjectedOutputs) -> None:
        self.seconds += answer.seconds
        self.changed += [name for name in answer.changed if name not in self.changed]
        self.returns_scores |= answer.returns_scores


@dataclass(frozen=True)
class HeadAdapter:
    """Heads of an oracle of any sizes: groups of heads, other head dimensions, other widths, all put back together.

    Attributes:
        layer_weights: of a layer's norms of query and key. Then query and key come as the layer has prepared them, and
            its preparation is undone before they are handed over.
        stats: of the calls so far.
    """

    oracle: ProjectedStudent
    layer_weights: tuple[Tensor, Tensor] | None = None
    stats: CallStats = field(default_factory=CallStats)

    @property
    def preparation(self) -> Preparation | None:
        """The norm, and the rotation, that are left to the oracle: query and key come before both."""
        return self.oracle.preparation

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor, **how: Any
    ) -> tuple[Tensor, Tensor | None]:
        """Ask about any query, key and value, ``(batch, num_heads, length, head_dim)`` each.

        Keys and values may have fewer heads, where the oracle can be constructed so; otherwise they are repeated.
        """
        shape, shared = self._shape_for(query, key, how.get("dropout_p", 0.0))
        key, value = (tensor.repeat_interleave(shared, dim=1) for tensor in (key, value))
        batch_size, _, key_len, head_dim = key.shape
        if self.preparation is not None and "norm_weights" not in how:
            how["norm_weights"] = self._norm_weights(query, key)
        if shape.width is not None and batch_size * key_len > shape.width and batch_size > 1:
            parts = [
                self.attend(query[one], key[one], value[one], keep_mask[one], **_with_own_seed(how, one.start))
                for one in (slice(index, index + 1) for index in range(batch_size))
            ]
            return torch.cat([part[0] for part in parts]), join_weights([part[1] for part in parts])
        if head_dim > shape.head_dim:
            query, key, lost = reduce_head_dim(query, key, shape.head_dim)
            self.stats.residual = max(self.stats.residual, lost)
        elif self.oracle.conventions.rotation is not None:  # which pairs the dimensions of the oracle's own heads
            query, key = pad_head_dim(query, key, shape.head_dim)
        outputs = []
        attn_weights: Tensor | None = None
        for columns in torch.split(value, shape.head_dim, dim=-1):
            width = columns.shape[-1]
            padded = torch.nn.functional.pad(columns, (0, query.shape[-1] - width))
            if shape.width is not None and key_len > shape.width and query.shape[-2] == key_len:
                output, attn_weights = self._attend_low_rank(shape, query, key, padded, keep_mask, **how)
            else:
                states_and_projections = one_hot_projections(*self._unprepared(query, key), padded)
                output, attn_weights = self.attend_hidden(shape, *states_and_projections, keep_mask, **how)
            outputs.append(output[..., :width])
        return torch.cat(outputs, dim=-1), attn_weights

    def _shape_for(self, query: Tensor, key: Tensor, dropout_p: float) -> tuple[ProjectionMap, int]:
        """The instance that is asked, and how often it needs keys and values repeated."""
        num_heads, head_dim, key_value_heads = query.shape[1], query.shape[-1], key.shape[1]
        if num_heads != key_value_heads:
            grouped = self.oracle.shape_for(
                num_heads, head_dim, num_key_value_heads=key_value_heads, dropout_p=dropout_p, dtype=query.dtype
            )
            sizes = (grouped.num_heads, grouped.key_value_heads)
            if sizes == (num_heads, key_value_heads) and head_dim <= grouped.head_dim:
                return grouped, 1
        whole = self.oracle.shape_for(num_heads, head_dim, dropout_p=dropout_p, dtype=query.dtype)
        return whole, num_heads // key_value_heads

    def _norm_weights(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        if self.layer_weights is None:
            assert self.preparation is not None
            query_weight, key_weight = self.preparation.weights(query.shape[-1])
        else:
            order = self._order(query.shape[-1])
            query_weight, key_weight = (weight[..., order] for weight in self.layer_weights)
            if key_weight.shape[0] > 1:
                key_weight = key_weight.repeat_interleave(key.shape[1] // key_weight.shape[0], dim=0)
        return query_weight.to(query), key_weight.to(key)

    def _order(self, head_dim: int) -> Tensor:
        """The order of a layer's dimensions in which the oracle pairs them as the layer does."""
        assert self.preparation is not None
        order = torch.arange(head_dim)
        rotation = self.preparation.rotation
        if rotation is not None and rotation.pairing == "neighbours":
            order = order.reshape(2, -1).T.flatten()
        return order

    def _unprepared(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        """Query and key as they are handed over: before what the oracle does to them."""
        if self.preparation is not None:
            if self.layer_weights is not None:
                order = self._order(query.shape[-1])
                query, key = self.preparation.rotate(query[..., order], key[..., order], backwards=True)
                weights = self._norm_weights(query, key)
                query, key = (_divided(states, weight) for states, weight in zip((query, key), weights, strict=True))
            return enlarge(query), enlarge(key)
        return rotate_both(query, key, self.oracle.conventions.rotation, backwards=True)

    def _attend_low_rank(
        self, shape: ProjectionMap, query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor, **how: Any
    ) -> tuple[Tensor, Tensor | None]:
        """More tokens than the oracle is wide: as much of each group of heads as there is room for."""
        outputs, weights = [], []
        query, key = self._unprepared(query, key)
        shared = query.shape[1] // key.shape[1]
        key, value = (tensor.repeat_interleave(shared, dim=1) for tensor in (key, value))
        for start in range(0, query.shape[1], shape.num_heads):
            group = slice(start, start + shape.num_heads)
            states, projections = concatenated_projections(query[:, group], key[:, group], value[:, group])
            if shared > 1:  # then the oracle takes all heads at once
                projections = replace(projections, w_k=projections.w_k[:, ::shared], w_v=projections.w_v[:, ::shared])
            output, attn_weights = self.attend_hidden(
                shape, states, states, projections, keep_mask, **_with_own_seed(how, start)
            )
            outputs.append(output)
            weights.append(attn_weights)
        return torch.cat(outputs, dim=1), join_weights(weights, dim=1)

    def attend_hidden(
        self,
        shape: ProjectionMap,
        query_states: Tensor,
        key_states: Tensor,
        projections: Projections,
        keep_mask: Tensor,
        **how: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """Ask about hidden states and their projections; heads of at most the oracle's own head_dim."""
        num_heads, head_dim = projections.num_heads, projections.head_dim
        outputs, weights = [], []
        for start in range(0, num_heads, shape.num_heads):
            group = projections
            if projections.num_key_value_heads == num_heads:  # else the oracle takes all heads at once
                group = group_heads(projections, start, shape.num_heads)
            group = fit_head_dim(replace(group, w_o=None, b_o=None), shape.head_dim)
            states = (query_states, key_states)
            if not _fits(shape, group, key_states):
                width = shape.width or key_states.shape[-1] + 1
                fitted, group_fitted, lost = fit_width(key_states, group, width)
                other = fitted if query_states is key_states else fit_width(query_states, group, width)[0]
                states, group = (other, fitted), group_fitted
                self.stats.residual = max(self.stats.residual, lost)
            inputs = ProjectedInputs(*states, group, keep_mask, **_with_own_seed(how, start))
            answer = self._forward(shape, inputs)
            self.stats.add(answer)
            outputs.append(heads_of(answer.output, shape, self.oracle.conventions.layout))
            weights.append(answer.attn_weights)
        attn_output = torch.cat(outputs, dim=1)[:, :num_heads, :, :head_dim]
        attn_weights = join_weights(weights, dim=1)
        return attn_output, None if attn_weights is None else attn_weights[:, :num_heads]

    def _forward(self, shape: ProjectionMap, inputs: ProjectedInputs) -> ProjectedOutputs:
        """One call without an output projection; where it has fewer features than the heads, a call for each part."""
        features = shape.num_heads * shape.head_dim
        if not shape.has_output or features <= shape.out_features:
            return self.oracle.forward(shape, inputs)
        code = torch.eye(features, dtype=inputs.query_states.dtype, device=inputs.query_states.device)
        parts = torch.split(code.reshape(shape.num_heads, shape.head_dim, features), shape.out_features, dim=-1)
        padded = [torch.nn.functional.pad(part, (0, shape.out_features - part.shape[-1])) for part in parts]
        answers = [
            self.oracle.forward(shape, replace(inputs, projections=replace(inputs.projections, w_o=part)))
            for part in padded
        ]
        # Each call computes all heads.
        seconds = sum(answer.seconds for answer in answers) / len(answers)
        return replace(answers[0], output=torch.cat([each.output for each in answers], dim=-1), seconds=seconds)


def _divided(states: Tensor, weight: Tensor) -> Tensor:
    """Normalised states without the weights that they were multiplied by.

    What a weight of 0 has lost cannot matter, but for the mean square, which is 1.
    """
    is_zero = weight == 0
    divided = states / torch.where(is_zero, 1.0, weight)
    if not bool(is_zero.any()):
        return divided
    dims = (-1,) if weight.shape[0] == 1 else (-3, -1)
    num_zeros = int(is_zero.sum())
    missing = (num_zeros + (~is_zero).sum() - divided.square().sum(dims, keepdim=True)).clamp_min(0)
    return torch.where(is_zero, (missing / num_zeros).sqrt(), divided)


def _fits(shape: ProjectionMap, projections: Projections, states: Tensor) -> bool:
    """Hidden states and biases go in as they are."""
    return shape.width in {None, states.shape[-1]} and (shape.has_input_biases or not projections.has_input_biases)


def _with_own_seed(how: dict[str, Any], index: int) -> dict[str, Any]:
    """The options of one call of several: each has its own random numbers, or all heads would drop the same weights."""
    seed = how.get("seed")
    return how if seed is None else {**how, "seed": seed + _SEED_STEP * index}
