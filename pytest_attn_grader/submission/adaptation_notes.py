"""Notes on what was needed so that a submission on hidden states could be called."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pytest_attn_grader.results.submission import Adaptation
from pytest_attn_grader.submission.call_conventions import CallConventions
from pytest_attn_grader.submission.constructor import Sizes, arguments_for
from pytest_attn_grader.submission.constructor_roles import is_resizable
from pytest_attn_grader.submission.masks import PER_HEAD
from pytest_attn_grader.submission.module_attention import ModuleAttention
from pytest_attn_grader.submission.projected import InstanceSizes
from pytest_attn_grader.submission.projections.layouts import DEFAULT_LAYOUT
from pytest_attn_grader.submission.trials import TRIAL_HEAD_DIM, TRIAL_HEADS


def with_notes(attention: ModuleAttention, shape: InstanceSizes) -> ModuleAttention:
    """The same attention, with a note about everything that was needed so that it could be called."""
    contract = attention.contract
    notes = [Adaptation(name=name, why=why) for name, why in contract.notes]
    candidate = contract.candidate
    if candidate.kind == "module-class":
        sizes = Sizes(TRIAL_HEADS * TRIAL_HEAD_DIM, TRIAL_HEADS, TRIAL_HEAD_DIM)
        typed = str(arguments_for(candidate, sizes))
        notes.append(Adaptation(name="constructed", why=f"{candidate.name}({typed}), and likewise at other sizes"))
        if not is_resizable(candidate):
            notes.append(
                Adaptation(
                    name="dimension-adapter",
                    why=f"its width is fixed at {shape.width}: hidden states and projections are brought to that width",
                )
            )
    if lengthened := attention.student.lengthened:
        why = f"{' and '.join(lengthened)} of its file, of which it makes a triangle: set to {max(lengthened.values())}"
        notes.append(Adaptation(name="longest-text", why=why))
    notes += _convention_notes(attention.oracle.conventions, takes_mask=contract.takes_mask)
    if attention.oracle.steps.norm_axis is not None and attention.preparation is None:
        why = "the model's layer normalises query and key, the submission does not: it is given them normalised"
        notes.append(Adaptation(name="query-key-norm", why=why))
    if attention.returns_scores:
        why = "the second result has negative numbers, so it is no weights: these are recovered from the output"
        notes.append(Adaptation(name="scores-returned", why=why))
    if shape.num_heads == 1:
        notes.append(Adaptation(name="one-head", why="it is a single head: called for every head in turn"))
    if shape.found.heads_are_traced:
        heads = f"{shape.num_heads} heads of {shape.head_dim} features"
        why = f"it takes no number of heads: its outputs depend on queries and keys in {heads}"
        notes.append(Adaptation(name="heads", why=why))
    if contract.kind == "module" and not shape.has_output:
        notes.append(
            Adaptation(
                name="no-output-projection", why="it has none: in the model, the layer's own is applied after it"
            )
        )
    if shape.found.low_rank:
        names = ", ".join(each.weight for each in shape.found.low_rank)
        notes.append(Adaptation(name="low-rank", why=f"{names} are set to 0: what they add is no part of the layer"))
    if shape.loading is not None:
        notes.append(Adaptation(name="load-projections", why="its projections are filled as its load_projections says"))
    if shape.found.by_order and shape.found.is_fused:
        why = f"{shape.found.inputs['qkv'][0].weight} was taken as query, key and value in one, by its shape"
        notes.append(Adaptation(name="by-shape", why=why))
    elif shape.found.by_order:
        notes.append(
            Adaptation(name="by-order", why="its matrices were taken as query, key, value, output, in this order")
        )
    return replace(attention, adaptations=tuple(notes))


def _convention_notes(conventions: CallConventions, *, takes_mask: bool) -> Iterator[Adaptation]:
    if conventions.tables is not None:
        yield Adaptation(name="rotary-tables", why=str(conventions.tables))
    if conventions.rotation is not None:
        yield Adaptation(name="rotary", why=str(conventions.rotation))
    if conventions.norm is not None:
        yield Adaptation(name="query-key-norm", why=str(conventions.norm))
    if conventions.cache is not None:
        yield Adaptation(name="cache", why=f"also called in several parts: {conventions.cache}")
    if conventions.layout != DEFAULT_LAYOUT:
        yield Adaptation(name="layout", why=str(conventions.layout))
    if takes_mask and conventions.mask_shape != PER_HEAD:
        yield Adaptation(name="mask-shape", why=f"the mask is passed as {conventions.mask_shape}")
    if conventions.one_text is not None:
        yield Adaptation(name="one-text", why=conventions.one_text)
    if conventions.one_at_a_time:
        yield Adaptation(name="one-at-a-time", why="called with (seq, features), an example at a time")
