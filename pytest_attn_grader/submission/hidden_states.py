"""The masks, the layout and the rotation of a module or a function of weights, found by trying."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from torch import Tensor

from pytest_attn_grader.attention.rotation import BASE
from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.models.architectures import LayerSteps
from pytest_attn_grader.submission.adaptation_notes import with_notes
from pytest_attn_grader.submission.cache_trials import with_cache
from pytest_attn_grader.submission.call_conventions import CallConventions
from pytest_attn_grader.submission.contract import Contract
from pytest_attn_grader.submission.documentation import documents_batch_first
from pytest_attn_grader.submission.head_adapter import CallStats
from pytest_attn_grader.submission.mask_trials import with_used_mask
from pytest_attn_grader.submission.masks import MASK_SHAPES, PADDING, PER_HEAD
from pytest_attn_grader.submission.module_attention import ModuleAttention
from pytest_attn_grader.submission.norm_requirements import require_output_projection
from pytest_attn_grader.submission.projected import InstanceSizes
from pytest_attn_grader.submission.projected_student import ProjectedStudent
from pytest_attn_grader.submission.projections.layouts import layouts_for
from pytest_attn_grader.submission.remote.retries import another_call_may_answer
from pytest_attn_grader.submission.rotary import Attend, find_rotation
from pytest_attn_grader.submission.rotary_arguments import TableStyle, table_styles
from pytest_attn_grader.submission.target import read_source_text
from pytest_attn_grader.submission.texts_of_keys import with_texts_settled
from pytest_attn_grader.submission.trials import (
    TRIAL_HEAD_DIM,
    TRIAL_SIZES,
    query_is_row_local,
    returns_the_value,
    with_norm,
    with_weights_settled,
)

if TYPE_CHECKING:
    from pytest_attn_grader.submission.student import Student


def fit_hidden_states(student: Student, contract: Contract, steps: LayerSteps, *, seed: int) -> ModuleAttention:
    """Find masks and layouts with which a single token comes back as its value.

    With one token there is nothing to attend to: the output is the value through the output projection, whatever the
    attention does. So this settles how projections are laid out, and nothing about attention.
    """
    oracle = ProjectedStudent(student, contract, steps=steps)
    shape = oracle.shape_for(*TRIAL_SIZES)
    first_failure: SubmissionError | None = None
    answered: ModuleAttention | None = None
    returns_value: ModuleAttention | None = None
    settled: ModuleAttention | None = None
    tables = table_styles(contract.roles, steps.rotary_base)
    is_batch_first = documents_batch_first(read_source_text(student.target), contract.candidate.name)
    for conventions in _conventions(contract, shape, tables):
        if is_batch_first and (conventions.layout.sequence_first or conventions.one_at_a_time):
            continue
        asked = replace(oracle, conventions=conventions)
        attention = ModuleAttention(student, contract, asked, in_causal_model=steps.is_causal)
        try:
            same = returns_the_value(attention, seed)
            attention = with_weights_settled(attention, seed)
        except SubmissionError as failure:
            first_failure = first_failure or failure
            if not another_call_may_answer(failure.name, failure.remedy):
                break
            continue
        answered = answered or attention
        if same:
            returns_value = returns_value or attention
            if not _query_key_order_unknown(shape) or query_is_row_local(attention, seed):
                settled = attention
                break
    # Where no known layout brings the value back, or none tells query from key, the checks will say what is wrong with
    # the most usual one.
    best = settled or returns_value or answered
    if best is not None:
        best = _with_rotation(best, seed, steps.rotary_base, tables)
        if steps.norm_axis is not None:
            best = with_norm(best, steps.norm_axis, seed)
        best = with_used_mask(best, _other_mask_shapes(best), seed)
        if best.oracle.takes_key_states:
            best = with_texts_settled(best, seed)
        best = with_cache(best, seed)
        require_output_projection(best)
        return with_notes(best, best.oracle.shape_for(*TRIAL_SIZES))
    assert first_failure is not None  # there is at least one way to ask
    raise first_failure


def unfitted_module(student: Student, contract: Contract, steps: LayerSteps) -> ModuleAttention | None:
    """A submission of hidden states, called in the most usual way; None where it cannot even be constructed."""
    oracle = ProjectedStudent(student, contract, steps=steps)
    try:
        oracle.shape_for(*TRIAL_SIZES)
    except SubmissionError:
        return None
    return ModuleAttention(student, contract, oracle, in_causal_model=steps.is_causal)


def _conventions(
    contract: Contract, shape: InstanceSizes, tables: Sequence[TableStyle | None]
) -> Iterator[CallConventions]:
    mask_shapes: tuple[str, ...] = MASK_SHAPES
    if not contract.takes_mask:
        mask_shapes = (PER_HEAD,)
    elif "mask" not in contract.roles:
        mask_shapes = (PADDING,)
    layouts = list(layouts_for(shape.found))
    for mask_shape, layout, table in itertools.product(mask_shapes, layouts, tables):
        yield CallConventions(layout, mask_shape, tables=table)
    for layout, table in itertools.product(layouts, tables):
        if not layout.sequence_first:
            yield CallConventions(layout, PER_HEAD, one_at_a_time=True, tables=table)


def _other_mask_shapes(attention: ModuleAttention) -> Iterator[ModuleAttention]:
    """The same attention with each other shape of the mask."""
    conventions = attention.oracle.conventions
    for mask_shape in MASK_SHAPES if "mask" in attention.contract.roles else ():
        if mask_shape != conventions.mask_shape:
            yield attention.with_conventions(replace(conventions, mask_shape=mask_shape))


def _query_key_order_unknown(shape: InstanceSizes) -> bool:
    """Whether the order of query and key is open: in a fused matrix whose name does not say it."""
    return shape.found.is_fused and shape.found.letters is None


def _with_rotation(
    attention: ModuleAttention, seed: int, rotary_base: float | None, tables: Sequence[TableStyle | None]
) -> ModuleAttention:
    """The same attention, given query and key in such a way that it may rotate them by their positions."""
    if attention.oracle.shape_for(*TRIAL_SIZES).head_dim != TRIAL_HEAD_DIM:
        return attention
    settled = attention.oracle.conventions.tables
    for table in (settled, *(each for each in tables if each != settled)):
        conventions = replace(attention.oracle.conventions, tables=table)
        tried = attention.with_conventions(conventions)
        try:
            rotation = find_rotation(_attend_with(tried), *TRIAL_SIZES, seed, base=rotary_base or BASE)
        except SubmissionError:
            continue  # where no table fits, the checks will meet the same failure, and say what it is
        if rotation is not None:
            return tried.with_conventions(replace(conventions, rotation=rotation))
    return attention


def _attend_with(attention: ModuleAttention) -> Attend:
    def attend(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor) -> Tensor:
        return attention.heads.attend(query, key, value, keep_mask, CallStats())[0]

    return attend
