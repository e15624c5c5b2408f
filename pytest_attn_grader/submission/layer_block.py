"""A submission with projections in the place of a model's layer: it gets the model's hidden states and its weights."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from pytest_attn_grader.attention.weight_recovery import recover_weights
from pytest_attn_grader.models.architectures import find_architecture
from pytest_attn_grader.models.patching.dispatch import attention_weights_requested
from pytest_attn_grader.results.submission import WidthAdapter
from pytest_attn_grader.submission.head_adapter import HeadAdapter
from pytest_attn_grader.submission.projected import ProjectedInputs, join_weights
from pytest_attn_grader.submission.projected_student import ProjectedStudent
from pytest_attn_grader.submission.projections.matrices import Projections, projections_of
from pytest_attn_grader.submission.projections.projection_map import ProjectionMap


class StudentBlock(nn.Module):
    """Forward of a layer's attention, ``(batch, seq, hidden_size)`` in and out, through a submission's own projections.

    Holds the layer's parameters without owning them: they are the model's.
    """

    def __init__(
        self, oracle: ProjectedStudent, shape: ProjectionMap, projections: Projections, *, projects_output: bool
    ) -> None:
        super().__init__()
        self.oracle = oracle
        self.shape = shape
        self.held = (projections,)  # in a tuple: not to be registered
        self.projects_output = projects_output
        self.residual = 0.0
        self.residual_tokens = 0

    def forward(self, hidden_states: Tensor, keep_mask: Tensor) -> tuple[Tensor, Tensor | None]:
        projections, shape, heads = self.held[0], self.shape, HeadAdapter(self.oracle)
        if self._is_whole(projections):
            whole = projections if self.projects_output else _without_output(projections)
            answer = self.oracle.forward(shape, ProjectedInputs(hidden_states, hidden_states, whole, keep_mask))
            output, attn_weights = answer.output, answer.attn_weights
        else:
            heads_output, attn_weights = self._by_heads(heads, hidden_states, projections, keep_mask)
            project = projections if self.projects_output else _without_output(projections)
            output = project.project_output(heads_output)
        residual = heads.stats.residual
        if (
            attn_weights is None
            and attention_weights_requested({})
            and hidden_states.shape[1] <= (shape.width or math.inf)
        ):
            with torch.no_grad():
                query, key, _ = projections.query_key_value(hidden_states)
                attn_weights = recover_weights(lambda value: heads.attend(query, key, value, keep_mask)[0], key)
        if residual > self.residual:
            self.residual, self.residual_tokens = residual, hidden_states.shape[1]
        return output, attn_weights

    @property
    def width_adapter(self) -> WidthAdapter | None:
        """The reduction of hidden states to the module's width; None when it takes them unchanged."""
        width, projections = self.shape.width, self.held[0]
        if width is None or width >= projections.w_q.shape[0]:
            return None
        return WidthAdapter(
            width=width,
            exact_tokens=width - (1 if projections.has_input_biases else 0),
            residual=self.residual,
            residual_tokens=self.residual_tokens,
        )

    def _is_whole(self, projections: Projections) -> bool:
        """Whether the module takes the layer as it is, output projection and all."""
        shape = self.shape
        return (
            shape.has_output
            and (shape.width, shape.num_heads, shape.head_dim)
            == (projections.w_q.shape[0], projections.num_heads, projections.head_dim)
            and (shape.has_input_biases or not projections.has_input_biases)
            and (not self.projects_output or shape.out_features == _out_features(projections))
            and (shape.has_output_bias or projections.b_o is None or not self.projects_output)
        )

    def _by_heads(
        self, heads: HeadAdapter, hidden_states: Tensor, projections: Projections, keep_mask: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        shape = self.shape
        width = shape.width
        if projections.head_dim > shape.head_dim:
            return heads.attend(*projections.query_key_value(hidden_states), keep_mask)
        if width is None or width >= hidden_states.shape[-1] or hidden_states.shape[0] == 1:
            return heads.attend_hidden(shape, hidden_states, hidden_states, projections, keep_mask)
        # One text at a time: together they would need more dimensions than the module has.
        parts = [
            heads.attend_hidden(shape, each, each, projections, keep_mask[index : index + 1])
            for index, each in enumerate(torch.split(hidden_states, 1))
        ]
        return torch.cat([part[0] for part in parts]), join_weights([part[1] for part in parts])


def make_block(oracle: ProjectedStudent, model: Any, layer_idx: int) -> StudentBlock | None:
    """A block for one layer that asks a submission, or the reference in its place.

    None where positions are turned into query and key.
    """
    family = find_architecture(model)
    if family.rotary:
        return None
    projections = projections_of(model, family, layer_idx)
    shape = _shape(oracle, projections)
    if restriction(oracle, model, layer_idx) is not None and shape.width == projections.w_q.shape[0]:
        projections = projections.without_input_biases()
    # BERT keeps the output projection outside of what is replaced.
    projects_output = not family.projections.output_in_parent
    return StudentBlock(oracle, shape, projections, projects_output=projects_output)


def restriction(oracle: ProjectedStudent, model: Any, layer_idx: int) -> str | None:
    """The parts of the layer that the module cannot hold. The reference omits them too. None when it holds all."""
    family = find_architecture(model)
    if family.rotary:
        return None
    projections = projections_of(model, family, layer_idx)
    shape = _shape(oracle, projections)
    if shape.width == projections.w_q.shape[0] and projections.has_input_biases and not shape.has_input_biases:
        return "its projections have no biases: the reference is compared without them too"
    if shape.width is not None and shape.width < projections.w_q.shape[0]:
        return f"it is {shape.width} wide: texts of {shape.width} tokens and more are projected onto what it can hold"
    return None


def _shape(oracle: ProjectedStudent, projections: Projections) -> ProjectionMap:
    return oracle.shape_for(projections.num_heads, projections.head_dim, width=projections.w_q.shape[0])


def _without_output(projections: Projections) -> Projections:
    return replace(projections, w_o=None, b_o=None)


def _out_features(projections: Projections) -> int:
    return 0 if projections.w_o is None else projections.w_o.shape[-1]
