"""Notes on what was needed so that a submission on hidden states could be called."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pytest_attn_grader.submission.constructor import Sizes, arguments_for
from pytest_attn_grader.submission.constructor_roles import is_resizable
from pytest_attn_grader.submission.masks import PER_HEAD
from pytest_attn_grader.submission.module_attention import ModuleAttention
from pytest_attn_grader.submission.projections.layouts import DEFAULT_LAYOUT
from pytest_attn_grader.submission.projections.projection_map import ProjectionMap
from pytest_attn_grader.submission.trials import TRIAL_HEAD_DIM, TRIAL_HEADS


def with_notes(attention: ModuleAttention, shape: ProjectionMap) -> ModuleAttention:
    """The same attention, with a note about everything that was needed so that it could be called."""
    return replace(attention, notes=(*_instance_notes(attention, shape), *_convention_notes(attention)))


def _instance_notes(attention: ModuleAttention, shape: ProjectionMap) -> Iterator[tuple[str, str]]:
    candidate = attention.contract.candidate
    if candidate.kind == "module-class":
        sizes = Sizes(TRIAL_HEADS * TRIAL_HEAD_DIM, TRIAL_HEADS, TRIAL_HEAD_DIM)
        yield "constructed", f"{candidate.name}({arguments_for(candidate, sizes)}), and likewise at other sizes"
        if not is_resizable(candidate):
            why = f"its width is fixed at {shape.width}: hidden states and projections are brought to that width"
            yield "dimension-adapter", why
    if lengthened := attention.student.lengthened:
        names, longest = " and ".join(lengthened), max(lengthened.values())
        yield "longest-text", f"{names} of its file, of which it makes a triangle: set to {longest}"
    if shape.num_heads == 1:
        yield "one-head", "it is a single head: called for every head in turn"
    if shape.heads_are_traced:
        heads = f"{shape.num_heads} heads of {shape.head_dim} features"
        yield "heads", f"it takes no number of heads: its outputs depend on queries and keys in {heads}"
    if attention.contract.kind == "module" and not shape.has_output:
        yield "no-output-projection", "it has none: in the model, the layer's own is applied after it"
    if shape.low_rank:
        names = ", ".join(each.weight for each in shape.low_rank)
        yield "low-rank", f"{names} are set to 0: what they add is no part of the layer"
    if shape.after_output:
        names = ", ".join(each.weight for each in shape.after_output)
        yield "second-output-projection", f"the identity is loaded into {names}: the model's layer has no such matrix"
    if shape.loading is not None:
        yield "load-projections", "its projections are filled as its load_projections says"
    if shape.by_order and shape.is_fused:
        weight = shape.inputs["qkv"][0].weight
        yield "by-shape", f"{weight} was taken as query, key and value in one, by its shape"
    elif shape.by_order:
        yield "by-order", "its matrices were taken as query, key, value, output, in this order"


def _convention_notes(attention: ModuleAttention) -> Iterator[tuple[str, str]]:
    conventions = attention.conventions
    if conventions.tables is not None:
        yield "rotary-tables", str(conventions.tables)
    if conventions.rotation is not None:
        yield "rotary", str(conventions.rotation)
    if conventions.norm is not None:
        yield "query-key-norm", str(conventions.norm)
    elif attention.steps.norm_axis is not None:
        why = "the model's layer normalises query and key, the submission does not: it is given them normalised"
        yield "query-key-norm", why
    if conventions.cache is not None:
        yield "cache", f"also called in several parts: {conventions.cache}"
    if conventions.layout != DEFAULT_LAYOUT:
        yield "layout", str(conventions.layout)
    if attention.contract.takes_mask and conventions.mask_shape != PER_HEAD:
        yield "mask-shape", f"the mask is passed as {conventions.mask_shape}"
    if conventions.one_text is not None:
        yield "one-text", conventions.one_text
    if conventions.one_at_a_time:
        yield "one-at-a-time", "called with (seq, features), an example at a time"
    if attention.returns_scores:
        why = "the second result has negative numbers, so it is no weights: these are recovered from the output"
        yield "scores-returned", why
