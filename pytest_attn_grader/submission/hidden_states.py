"""The masks, layout, rotation, texts and cache of a module or a function of weights, found by trying."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_attn_grader.attention.probes import SPEC_BY_NAME, Probe, ProbeResult
from pytest_attn_grader.attention.rotation import BASE
from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.models.architectures import LayerSteps
from pytest_attn_grader.submission.adaptation_notes import with_notes
from pytest_attn_grader.submission.cache_arguments import CacheStyle, cache_styles, find_reset
from pytest_attn_grader.submission.constructor_roles import roles_of
from pytest_attn_grader.submission.contract import Contract
from pytest_attn_grader.submission.documentation import documents_batch_first
from pytest_attn_grader.submission.mask_trials import with_used_mask
from pytest_attn_grader.submission.masks import MASK_SHAPES, PADDING, PER_HEAD
from pytest_attn_grader.submission.module_attention import ModuleAttention
from pytest_attn_grader.submission.norm_requirements import require_output_projection
from pytest_attn_grader.submission.projected import CallConventions
from pytest_attn_grader.submission.projected_student import NO_CACHE_RETURNED
from pytest_attn_grader.submission.projections.layouts import layouts_for
from pytest_attn_grader.submission.projections.projection_map import ProjectionMap
from pytest_attn_grader.submission.remote.retries import another_call_may_answer
from pytest_attn_grader.submission.rotary import Attend, TableStyle, find_rotation, table_styles
from pytest_attn_grader.submission.trials import (
    CACHE_PROBES,
    TRIAL_HEAD_DIM,
    TRIAL_SIZES,
    TRIAL_TOKENS,
    is_right,
    is_right_on,
    is_right_on_one_example,
    is_right_result,
    is_right_unpadded,
    make_trial,
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
    usual = ModuleAttention(student, contract, in_causal_model=steps.is_causal, steps=steps)
    shape = usual.oracle.shape_for(*TRIAL_SIZES)
    first_failure: SubmissionError | None = None
    answered: ModuleAttention | None = None
    returns_value: ModuleAttention | None = None
    settled: ModuleAttention | None = None
    tables = table_styles(contract.roles, steps.rotary_base)
    is_batch_first = documents_batch_first(student.target.source.text, contract.candidate.name)
    for conventions in _conventions(contract, shape, tables):
        if is_batch_first and (conventions.layout.sequence_first or conventions.one_at_a_time):
            continue
        attention = replace(usual, conventions=conventions)
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
    attention = ModuleAttention(student, contract, in_causal_model=steps.is_causal, steps=steps)
    try:
        attention.oracle.shape_for(*TRIAL_SIZES)
    except SubmissionError:
        return None
    return attention


def _conventions(
    contract: Contract, shape: ProjectionMap, tables: Sequence[TableStyle | None]
) -> Iterator[CallConventions]:
    mask_shapes: tuple[str, ...] = MASK_SHAPES
    if not contract.takes_mask:
        mask_shapes = (PER_HEAD,)
    elif "mask" not in contract.roles:
        mask_shapes = (PADDING,)
    layouts = list(layouts_for(shape))
    for mask_shape, layout, table in itertools.product(mask_shapes, layouts, tables):
        yield CallConventions(layout, mask_shape, tables=table)
    for layout, table in itertools.product(layouts, tables):
        if not layout.sequence_first:
            yield CallConventions(layout, PER_HEAD, one_at_a_time=True, tables=table)


def _other_mask_shapes(attention: ModuleAttention) -> Iterator[ModuleAttention]:
    """The same attention with each other shape of the mask."""
    conventions = attention.conventions
    for mask_shape in MASK_SHAPES if "mask" in attention.contract.roles else ():
        if mask_shape != conventions.mask_shape:
            yield replace(attention, conventions=replace(conventions, mask_shape=mask_shape))


def _query_key_order_unknown(shape: ProjectionMap) -> bool:
    """Whether the order of query and key is open: in a fused matrix whose name does not say it."""
    return shape.is_fused and shape.letters is None


def _with_rotation(
    attention: ModuleAttention, seed: int, rotary_base: float | None, tables: Sequence[TableStyle | None]
) -> ModuleAttention:
    """The same attention, given query and key in such a way that it may rotate them by their positions."""
    if attention.oracle.shape_for(*TRIAL_SIZES).head_dim != TRIAL_HEAD_DIM:
        return attention
    settled = attention.conventions.tables
    for table in (settled, *(each for each in tables if each != settled)):
        conventions = replace(attention.conventions, tables=table)
        tried = replace(attention, conventions=conventions)
        try:
            rotation = find_rotation(_attend_with(tried), *TRIAL_SIZES, seed, base=rotary_base or BASE)
        except SubmissionError:
            continue  # where no table fits, the checks will meet the same failure, and say what it is
        if rotation is not None:
            return replace(tried, conventions=replace(conventions, rotation=rotation))
    return attention


def _attend_with(attention: ModuleAttention) -> Attend:
    return lambda *inputs: attention.attend(*inputs).attn_output


_FEWER_QUERIES = ("decode", "chunk")
_ONE_LENGTH = "its views take the number of queries for that of the keys: both are always of one text"
_NO_CACHE = "it has no cache, and {what}: queries and keys are always of one text"


def with_texts_settled(attention: ModuleAttention, seed: int) -> ModuleAttention:
    """The same module, with the reason why it is only called with queries and keys of one text, where there is one.

    A switch for its own causal mask, off by default, stays off where the mask that it takes is all it needs.
    """
    attention = _with_switch_off(attention, seed)
    why = _reason_without_cache(attention, seed) if _takes_fewer_queries(attention, seed) else _ONE_LENGTH
    return replace(attention, conventions=replace(attention.conventions, one_text=why))


def _with_switch_off(attention: ModuleAttention, seed: int) -> ModuleAttention:
    contract = attention.contract
    if "mask" not in contract.roles or "causal" not in roles_of(contract.candidate):
        return attention
    if _is_right_on_fewer_queries(attention, seed):
        return attention
    tried = replace(attention, steps=replace(attention.steps, is_causal=False))
    return tried if is_right(tried, seed) and _is_right_on_fewer_queries(tried, seed) else attention


def _is_right_on_fewer_queries(attention: ModuleAttention, seed: int) -> bool:
    return all(is_right_on(attention, attention.make_probe(SPEC_BY_NAME[name], seed=seed)) for name in _FEWER_QUERIES)


def _reason_without_cache(attention: ModuleAttention, seed: int) -> str | None:
    """A module that is to hide the future by itself, or counts its positions itself, is right for whole texts only."""
    has_cache = any(True for _ in cache_styles(attention.contract.candidate))
    if has_cache or not attention.steps.is_causal:
        return None
    if not {"mask", "valid_lens"} & attention.contract.roles:
        return _NO_CACHE.format(what="takes no mask")
    if attention.masks_padding_only and not _is_right_on_fewer_queries(attention, seed):
        return _NO_CACHE.format(what="takes a mask of padding only")
    return _NO_CACHE.format(what="counts positions from 0") if attention.conventions.rotation is not None else None


def _takes_fewer_queries(attention: ModuleAttention, seed: int) -> bool:
    """Whether one query may look at several keys, as a new token with a cache does."""
    query, key, value, keep_mask = make_trial(seed, TRIAL_TOKENS)
    try:
        attention.attend(query[:, :, -1:], key, value, keep_mask[:, :, -1:])
    except SubmissionError as failure:
        return failure.name != "raised" or "shape" not in failure.message
    return True


# Of torch's own exceptions about tensors that do not go together.
_SIZES_DIFFER = re.compile(r"RuntimeError: .*\b(sizes?|shapes?|dimensions?)\b", re.DOTALL)


def with_cache(attention: ModuleAttention, seed: int) -> ModuleAttention:
    """The same attention with the way in which its cache is passed on, if it has one.

    That is the first way in which it is right, at least token by token, as much code is that only writes text; where
    none is, the first one in which it answers or, failing that, its sizes do not fit: the check will say what is wrong.
    Any other exception says that its cache is of a kind that is not known here, and it is graded as one without a
    cache; so is one that never passes a cache on, and one whose cache has room for one example.
    """
    if "hidden_states" not in attention.contract.roles or "valid_lens" in attention.contract.roles:
        return attention
    if attention.is_bidirectional:
        return attention  # the keys to come are missing in a cache
    probes = [attention.make_probe(SPEC_BY_NAME[name], seed=seed) for name in CACHE_PROBES]
    masks_itself = _masks_itself(attention, seed)
    reset = find_reset(attention.student.target.source.nodes, attention.contract.candidate.name)
    by_token: ModuleAttention | None = None
    answered: ModuleAttention | None = None
    raised: ModuleAttention | None = None
    for usual in cache_styles(attention.contract.candidate):
        style = replace(usual, masks_itself=masks_itself, reset=None if usual.parameter else reset)
        tried = _with_style(attention, style)
        results = [tried.run_probe(probe) for probe in probes]
        if style.reset and not _is_reset(attention, style, probes, results):
            return _with_style(attention, replace(style, is_reset=False))
        failures = [result.failure for result in results]
        in_tokens, in_chunks = (
            tried.unsupported_reason(probe) is not None or is_right_result(result, probe)
            for result, probe in zip(results, probes, strict=True)
        )
        if in_chunks:
            return tried
        if in_tokens:
            by_token = by_token or _with_style(attention, replace(style, single_tokens=True))
        if None in failures:
            answered = answered or tried
        elif style.first != "object" and all(each and _SIZES_DIFFER.match(each.message) for each in failures):
            raised = raised or (tried if _passes_a_cache_on(tried, probes[0]) else None)
        if any(failure and not another_call_may_answer(failure.name, failure.remedy) for failure in failures):
            break
    raised = None if raised is not None and is_right_on_one_example(raised, seed) else raised
    return by_token or answered or raised or attention


def _is_reset(
    attention: ModuleAttention, style: CacheStyle, probes: Sequence[Probe], results: Sequence[ProbeResult]
) -> bool:
    """Whether the cache is emptied between two texts, as `results` came after one; also where it is wrong at first."""
    first = _with_style(attention, replace(style, reset=None))
    return all(
        is_right_result(result, probe) == is_right_result(first.run_probe(probe), probe)
        for probe, result in zip(probes, results, strict=True)
    )


def _with_style(attention: ModuleAttention, style: CacheStyle) -> ModuleAttention:
    return replace(attention, conventions=replace(attention.conventions, cache=style))


def _masks_itself(attention: ModuleAttention, seed: int) -> bool:
    """Whether it hides the future without the mask, which it need not be given."""
    return attention.contract.has_optional_mask and is_right_unpadded(
        replace(attention, contract=attention.contract.without_role("mask")), seed
    )


def _passes_a_cache_on(attention: ModuleAttention, probe: Probe) -> bool:
    """Whether a call with all tokens leaves a cache: it may fail, but not because there is none."""
    failure = attention.run_probe(replace(probe, chunks=(sum(probe.chunks),))).failure
    return failure is None or failure.message != NO_CACHE_RETURNED
