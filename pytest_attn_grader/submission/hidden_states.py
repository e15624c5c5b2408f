"""Submissions that take hidden states, as an attention like any other: probes, models and checks need not know.

A probe says query, key and value; a module takes hidden states and has projections. So the hidden states become unit
vectors, one a token, and the projections hold the probe's tensors (`token_code`): their products are the probe's
numbers exactly, and the gradients of the projections are those of query, key and value. Inside a model the hidden
states are the model's and the projections the layer's own, pretrained ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.probes import INPUT_NAMES, Probe, Record
from pytest_attn_grader.results import Adaptation, Failure
from pytest_attn_grader.submission.contract import Contract
from pytest_attn_grader.submission.oracles import (
    Answer,
    Oracle,
    Question,
    ReferenceOracle,
    Shape,
    heads_of,
)
from pytest_attn_grader.submission.projections.layouts import USUAL, Layout
from pytest_attn_grader.submission.projections.matrices import Projections, data_code, token_code
from pytest_attn_grader.submission.projections.widths import fewer_dimensions, fit_head_dim, fit_width, group_heads
from pytest_attn_grader.submission.student_oracle import StudentOracle

if TYPE_CHECKING:
    from pytest_attn_grader.submission.student import Student


@dataclass
class Tally:
    """What several calls came to."""

    seconds: float = 0.0
    changed: list[str] = field(default_factory=list)
    residual: float = 0.0
    weights_returned: bool = True

    def add(self, answer: Answer) -> None:
        self.seconds += answer.seconds
        self.changed += [name for name in answer.changed if name not in self.changed]


@dataclass(frozen=True)
class Heads:
    """Heads of an oracle of any sizes: groups of heads, other head dimensions, other widths, all put back together."""

    oracle: Oracle
    layout: Layout = USUAL

    def attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        keep_mask: Tensor,
        tally: Tally,
        **how: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """Ask about any query, key and value, ``(batch, num_heads, length, head_dim)`` each."""
        shape = self.oracle.shape_for(query.shape[1], query.shape[-1], dropout_p=how.get("dropout_p", 0.0))
        batch_size, _, key_len, head_dim = key.shape
        if shape.width is not None and batch_size * key_len > shape.width and batch_size > 1:
            parts = [
                self.attend(query[one], key[one], value[one], keep_mask[one], tally, **how)
                for one in (slice(index, index + 1) for index in range(batch_size))
            ]
            weights = [part[1] for part in parts if part[1] is not None]
            return torch.cat([part[0] for part in parts]), torch.cat(weights) if len(weights) == batch_size else None
        if head_dim > shape.head_dim:
            query, key, lost = fewer_dimensions(query, key, shape.head_dim)
            tally.residual = max(tally.residual, lost)
        outputs = []
        attn_weights: Tensor | None = None
        for columns in torch.split(value, shape.head_dim, dim=-1):
            width = columns.shape[-1]
            padded = torch.nn.functional.pad(columns, (0, query.shape[-1] - width))
            if shape.width is not None and key_len > shape.width and query.shape[-2] == key_len:
                output, attn_weights = self._attend_roughly(shape, query, key, padded, keep_mask, tally, **how)
                outputs.append(output[..., :width])
                continue
            query_states, key_states, projections = token_code(query, key, padded)
            output, attn_weights = self.attend_hidden(
                shape, query_states, key_states, projections, keep_mask, tally, **how
            )
            outputs.append(output[..., :width])
        return torch.cat(outputs, dim=-1), attn_weights

    def _attend_roughly(
        self, shape: Shape, query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor, tally: Tally, **how: Any
    ) -> tuple[Tensor, Tensor | None]:
        """More tokens than the oracle is wide: as much of each group of heads as there is room for."""
        outputs, weights = [], []
        for start in range(0, query.shape[1], shape.num_heads):
            group = slice(start, start + shape.num_heads)
            states, projections = data_code(query[:, group], key[:, group], value[:, group])
            output, attn_weights = self.attend_hidden(shape, states, states, projections, keep_mask, tally, **how)
            outputs.append(output)
            if attn_weights is not None:
                weights.append(attn_weights)
        return torch.cat(outputs, dim=1), torch.cat(weights, dim=1) if len(weights) == len(outputs) else None

    def attend_hidden(
        self,
        shape: Shape,
        query_states: Tensor,
        key_states: Tensor,
        projections: Projections,
        keep_mask: Tensor,
        tally: Tally,
        **how: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """Ask about hidden states and their projections; heads of at most the oracle's own head_dim."""
        num_heads, head_dim = projections.num_heads, projections.head_dim
        outputs, weights = [], []
        for start in range(0, num_heads, shape.num_heads):
            group = fit_head_dim(group_heads(projections, start, shape.num_heads), shape.head_dim)
            states = (query_states, key_states)
            if not _fits(shape, group, key_states):
                width = shape.width or key_states.shape[-1] + 1
                fitted, group_fitted, lost = fit_width(key_states, group, width)
                other = fitted if query_states is key_states else fit_width(query_states, group, width)[0]
                states, group = (other, fitted), group_fitted
                tally.residual = max(tally.residual, lost)
            answer = self.oracle.ask(shape, Question(*states, group, keep_mask, **how))
            tally.add(answer)
            outputs.append(heads_of(answer.output, shape, self.layout))
            if answer.attn_weights is not None:
                weights.append(answer.attn_weights)
        attn_output = torch.cat(outputs, dim=1)[:, :num_heads, :, :head_dim]
        attn_weights = torch.cat(weights, dim=1)[:, :num_heads] if len(weights) == len(outputs) else None
        return attn_output, attn_weights

    def recover_weights(self, query: Tensor, key: Tensor, keep_mask: Tensor, tally: Tally, **how: Any) -> Tensor:
        """With the identity as value, the output is the weights; head_dim columns a call."""
        key_len, head_dim = key.shape[-2:]
        tally.weights_returned = False
        columns = []
        for start in range(0, key_len, head_dim):
            width = min(head_dim, key_len - start)
            identity = torch.zeros_like(key)
            identity[..., range(start, start + width), range(width)] = 1
            output, _ = self.attend(query, key, identity, keep_mask, Tally(), **how)
            columns.append(output[..., :width])
        return torch.cat(columns, dim=-1)


def _fits(shape: Shape, projections: Projections, states: Tensor) -> bool:
    """Hidden states and biases go in as they are."""
    return shape.width in {None, states.shape[-1]} and (shape.has_input_biases or not projections.has_input_biases)


@dataclass(frozen=True)
class HiddenStatesAttention:
    """A module, or a function with projections as arguments, as an attention on query, key and value.

    Called like the reference it is differentiable and raises `SubmissionError`; `attempt` never raises for the
    student's faults.
    """

    student: Student
    contract: Contract
    oracle: StudentOracle
    adaptations: tuple[Adaptation, ...] = ()
    rank: int = 3
    returns_weights: bool = True

    @property
    def heads(self) -> Heads:
        return Heads(self.oracle, self.oracle.conventions.layout)

    @property
    def keeps_cache(self) -> bool:
        """Whether a model can ask it about one new token at a time: it would need the hidden states of all others."""
        return False

    @property
    def takes_dropout(self) -> bool:
        """Whether it can be told a probability of dropout, by its constructor or through a config object."""
        return self.contract.takes_dropout or self.oracle.reads_dropout

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor | None = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        """One forward pass; shapes as of the reference, weights only where they are returned.

        Raises:
            SubmissionError: the student's code failed, or what it returned has the wrong type, shape or dtype.
        """
        if keep_mask is None:
            keep_mask = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device)[None, None]
        keep_mask = keep_mask.expand(query.shape[0], 1, query.shape[-2], key.shape[-2])
        attn_output, attn_weights = self.heads.attend(query, key, value, keep_mask, Tally())
        return attn_output if attn_weights is None else (attn_output, attn_weights)

    def unknown_weights(self, num_heads: int, head_dim: int, tokens: int) -> str | None:
        """Why nobody can know its weights on a text of so many tokens; None when they come back or can be recovered."""
        shape = self.oracle.shape_for(num_heads, head_dim, width=num_heads * head_dim)
        if self.returns_weights or shape.width is None or tokens <= shape.width:
            return None
        return (
            f"it keeps its weights to itself, and from a module {shape.width} wide they can be recovered up to "
            f"{shape.width} tokens, not for {tokens}"
        )

    def why_not(self, probe: Probe) -> str | None:
        """Why this probe cannot be put to this submission; None when it can."""
        query_len, key_len = probe.query.shape[-2], probe.key.shape[-2]
        if query_len != key_len and not self.oracle.takes_key_states:
            return "it takes the hidden states of one text, so there is always one query a key"
        shape = self.oracle.shape_for(probe.query.shape[1], probe.query.shape[-1])
        if shape.width is not None and key_len > shape.width:
            return f"a module {shape.width} wide holds at most {shape.width} arbitrary tokens, and these are {key_len}"
        if probe.query.shape[-1] > shape.head_dim and key_len > shape.head_dim:
            return (
                f"a head of {shape.head_dim} dimensions holds the scores of {shape.head_dim} tokens, not of {key_len}"
            )
        return None

    def attempt(self, probe: Probe) -> Record:
        """Put a probe to the student: forward, weights, inputs after the call and, when asked for, gradients."""
        try:
            return self._attempt(probe)
        except SubmissionError as error:
            return Record(probe=probe.name, failure=Failure.from_error(error))

    def _attempt(self, probe: Probe) -> Record:
        wanted = probe.upstream is not None
        leaves = {name: tensor.detach().clone().requires_grad_(wanted) for name, tensor in probe.inputs.items()}
        how: dict[str, Any] = {"training": probe.training, "dropout_p": probe.dropout_p, "seed": probe.seed}
        tally = Tally()
        with torch.set_grad_enabled(wanted):
            attn_output, attn_weights = self.heads.attend(
                leaves["query"], leaves["key"], leaves["value"], probe.keep_mask, tally, watch_inputs=True, **how
            )
        if attn_weights is None:
            with torch.no_grad():
                attn_weights = self.heads.recover_weights(probe.query, probe.key, probe.keep_mask, tally, **how)
        gradients, gradient_failure = _gradients(attn_output, probe.upstream, leaves)
        return Record(
            probe=probe.name,
            attn_output=attn_output.detach(),
            attn_weights=attn_weights.detach(),
            weights_returned=tally.weights_returned,
            output_requires_grad=attn_output.requires_grad if wanted else None,
            gradients=gradients,
            gradient_failure=gradient_failure,
            changed=tuple(tally.changed),
            seconds=tally.seconds,
        )

    @contextmanager
    def in_fresh_worker(self, *, seconds: float | None = None) -> Iterator[HiddenStatesAttention]:
        """The same submission, imported and constructed anew in a process of its own."""
        student = self.student.anew(run_seconds=seconds)
        try:
            yield replace(self, student=student, oracle=replace(self.oracle, student=student))
        finally:
            student.close()

    def as_layer(self, model: Any, layer_idx: int) -> Any:
        """What takes the place of a layer's attention: a block with the layer's own projections, where that can be."""
        from pytest_attn_grader.submission.block import make_block

        return make_block(self, self.oracle, model, layer_idx)

    def restriction_in(self, model: Any, layer_idx: int) -> str | None:
        """What it has no room for in this layer, so that the reference has to do without as well."""
        from pytest_attn_grader.submission.block import restriction

        return restriction(self.oracle, model, layer_idx)

    def reference_as_layer(self, model: Any, layer_idx: int) -> Any:
        """The reference through the same adapter; None when the adapter loses nothing."""
        from pytest_attn_grader.submission.block import make_block

        if self.restriction_in(model, layer_idx) is None:
            return None
        return make_block(self, ReferenceOracle(self.oracle), model, layer_idx)


def _gradients(
    attn_output: Tensor, upstream: Tensor | None, leaves: dict[str, Tensor]
) -> tuple[dict[str, Tensor | None], Failure | None]:
    if upstream is None:
        return {}, None
    if not attn_output.requires_grad:
        return dict.fromkeys(INPUT_NAMES), None
    try:
        found = torch.autograd.grad(attn_output, tuple(leaves.values()), upstream.to(attn_output), allow_unused=True)
    except SubmissionError as error:
        return dict.fromkeys(INPUT_NAMES), Failure.from_error(error)
    return dict(zip(leaves, found, strict=True)), None
