"""The rank and the mask's shape that a function takes, found by trying."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from pytest_attn_grader.attention.probes import SPEC_BY_NAME, Probe, ProbeResult, build_probe, without_gradients
from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.results.submission import Failure
from pytest_attn_grader.submission.contract import Contract
from pytest_attn_grader.submission.documentation import documents_four_dimensions, documents_tokens_first
from pytest_attn_grader.submission.function_attention import RANKS, SINGLE_RANK, FunctionAttention
from pytest_attn_grader.submission.function_names import GROUP_NUMBERS
from pytest_attn_grader.submission.head_layouts import SIDE_BY_SIDE, TOKENS_FIRST
from pytest_attn_grader.submission.mask_trials import with_used_mask
from pytest_attn_grader.submission.masks import PADDING, PER_EXAMPLE, PER_HEAD, SQUARE
from pytest_attn_grader.submission.remote.retries import another_call_may_answer
from pytest_attn_grader.submission.return_values import SWAP_REMEDY
from pytest_attn_grader.submission.signatures import Notes

_SAME = 1e-4

if TYPE_CHECKING:
    from pytest_attn_grader.submission.student import Student


def fit_function(student: Student, contract: Contract, *, seed: int, in_causal_model: bool = True) -> FunctionAttention:
    """Find the rank at which the function answers: four dimensions, then one call a head, then one a row and head.

    Raises:
        SubmissionError: it answers at none, or not with the four dimensions that its documentation names; the failure
            is the one with four dimensions, as the contract has it.
    """
    probe = without_gradients(build_probe(SPEC_BY_NAME["basic"], seed=seed))
    first_failure: Failure | None = None
    answered: FunctionAttention | None = None
    is_four_dimensional = False
    # A number of heads says that all heads come in one call.
    ranks = RANKS[:1] if (GROUP_NUMBERS | {"layer"}) & contract.roles else RANKS
    for rank, mask_shape in itertools.product(ranks, _mask_shapes(contract)):
        if rank == RANKS[1] and mask_shape == PER_HEAD and first_failure is not None:
            if answered is None and _takes_square_masks(student, contract, probe):
                attention = _square_masked(student, contract)
                return _with_weights_note(attention, attention.run_probe(probe))
            if documents_four_dimensions(student.target.source.text, contract.candidate.name):
                is_four_dimensional = True
                break
        notes = _rank_note(rank, first_failure) + _mask_note(mask_shape)
        candidate = FunctionAttention(student, contract, rank, notes, in_causal_model, mask_shape)
        candidate = _in_its_layout(candidate, seed) if rank == RANKS[0] else candidate
        record = candidate.run_probe(probe)
        if record.attn_output is not None:
            answered = answered or candidate
            if "layer" in contract.roles and record.attn_output.shape == probe.query.transpose(1, 2).shape:
                notes = (*candidate.notes, ("output-layout", f"its output is {TOKENS_FIRST}"))
                candidate = replace(candidate, output_layout=TOKENS_FIRST, notes=notes)
                record = candidate.run_probe(probe)
            if record.attn_output is not None and record.attn_output.shape == probe.query.shape:
                used = with_used_mask(candidate, _with_other_masks(candidate), seed)
                return _with_weights_note(used, record if used is candidate else used.run_probe(probe))
        if first_failure is None or (_refuses_its_rank(first_failure) and not _refuses_its_rank(record.failure)):
            first_failure = record.failure
        if record.failure is not None and record.failure.remedy == SWAP_REMEDY:
            break
        if record.failure is not None and not another_call_may_answer(record.failure.name, record.failure.remedy):
            # A hang or a crash at one rank will hang or crash at the next; each would cost its full time limit.
            break
    if answered is not None:
        # It answers, in the wrong shape at every rank: the shape checks will say so with the numbers.
        return answered
    if first_failure is None:
        raise ValueError("a probe without output must carry a failure")
    sizes = dict(zip(("batch", "heads", "tokens", "head_dim"), probe.query.shape, strict=True))
    typed_in = remedy_for_typed_in(first_failure.message, student.target.source.text, sizes)
    raise _error_of(first_failure, typed_in=typed_in, is_four_dimensional=is_four_dimensional)


def _in_its_layout(attention: FunctionAttention, seed: int) -> FunctionAttention:
    """The same function, given its heads after the tokens, where it says so, or side by side, where it takes a number.

    Only where it answers so with the value of a single token, and does not with the heads first: it is then no mistake.
    """
    contract = attention.contract
    layouts = []
    if documents_tokens_first(attention.student.target.source.text, contract.candidate.name):
        layouts.append(TOKENS_FIRST)
    if "heads" in contract.roles and not contract.takes_groups:
        layouts.append(SIDE_BY_SIDE)
    if not layouts:
        return attention
    probe = without_gradients(build_probe(SPEC_BY_NAME["one-token"], seed=seed))

    def returns_the_value(tried: FunctionAttention) -> bool:
        output = tried.run_probe(probe).attn_output
        return output is not None and output.shape == probe.value.shape and torch.allclose(output, probe.value, _SAME)

    if returns_the_value(attention):
        return attention
    for layout in layouts:
        notes = (*attention.notes, ("head-layout", f"query, key, value and output are {layout}"))
        tried = replace(attention, layout=layout, output_layout=layout, notes=notes)
        if returns_the_value(tried):
            return tried
    return attention


_REFUSALS = re.compile(
    r"AssertionError(:?$|.*(dim|shape|rank|\b\d-?D\b))|ValueError: (too many|not enough) values to unpack",
    re.IGNORECASE,
)


def _refuses_its_rank(failure: Failure | None) -> bool:
    """Whether the submission's own code refused the number of dimensions: what it raised at another says more."""
    return failure is None or _REFUSALS.match(failure.message.partition("\n")[0]) is not None


def _takes_square_masks(student: Student, contract: Contract, probe: Probe) -> bool:
    """Whether four dimensions and a mask of two are what it takes: one mask for all heads and examples."""
    if "mask" not in contract.roles or _mixes_examples_with_heads(student, contract, probe):
        return False
    together = FunctionAttention(student, contract, RANKS[0], mask_shape=SQUARE)
    one_by_one = FunctionAttention(student, contract, SINGLE_RANK)
    inputs = (probe.query, probe.key, probe.value, probe.keep_mask[:1])
    try:
        outputs = [each.attend(*inputs).attn_output for each in (together, one_by_one)]
    except SubmissionError:
        return False
    # Were examples or heads mixed, calls for one of each would hide it.
    has_shape = all(output.shape == probe.query.shape for output in outputs)
    return has_shape and torch.allclose(outputs[0], outputs[1], rtol=_SAME, atol=_SAME)


def _mixes_examples_with_heads(student: Student, contract: Contract, probe: Probe) -> bool:
    """Whether it answers only where there are as many heads as examples: it takes an example's mask for a head's.

    With one mask for everything, it would look right.
    """
    num_examples = probe.query.shape[0]
    query, key, value = (tensor[:, :num_examples] for tensor in (probe.query, probe.key, probe.value))
    try:
        output = FunctionAttention(student, contract, RANKS[0]).attend(query, key, value, probe.keep_mask).attn_output
    except SubmissionError:
        return False
    return output.shape == query.shape


def _square_masked(student: Student, contract: Contract) -> FunctionAttention:
    why = f"the mask is passed as {SQUARE}, so it is called an example and a head at a time, (1, 1, seq, head_dim)"
    return FunctionAttention(student, contract, SINGLE_RANK, (("mask-shape", why),))


def _with_other_masks(attention: FunctionAttention) -> Iterator[FunctionAttention]:
    """The same function, given its mask in each other shape."""
    other_notes = tuple(note for note in attention.notes if note[0] != "mask-shape")
    for mask_shape in _mask_shapes(attention.contract):
        if mask_shape != attention.mask_shape:
            yield replace(attention, mask_shape=mask_shape, notes=(*other_notes, *_mask_note(mask_shape)))
    if attention.rank == RANKS[0] and "mask" in attention.contract.roles:
        square = _square_masked(attention.student, attention.contract)
        yield replace(square, in_causal_model=attention.in_causal_model)


def _error_of(failure: Failure, *, typed_in: str, is_four_dimensional: bool) -> SubmissionError:
    message, remedy = failure.message, failure.remedy or typed_in
    if is_four_dimensional and is_about_axes(message) and not typed_in:
        message += ". It says that it takes four dimensions (batch, num_heads, seq, head_dim), and this is with them"
        remedy = remedy or remedy_for_axes(failure.traceback)
    return SubmissionError(failure.name, message, remedy=remedy, where=failure.where, traceback=failure.traceback)


def _mask_shapes(contract: Contract) -> tuple[str, ...]:
    # A mask whose name says "padding" may still be meant whole.
    return (PER_HEAD, PER_EXAMPLE, PADDING) if {"mask", "key_padding_mask"} & contract.roles else (PER_HEAD,)


def _mask_note(mask_shape: str) -> Notes:
    return () if mask_shape == PER_HEAD else (("mask-shape", f"the mask is passed as {mask_shape}"),)


def _rank_note(rank: int, failure: Failure | None) -> Notes:
    if rank == RANKS[0]:
        return ()
    what = "one head at a time (batch, seq, head_dim)"
    if rank == RANKS[2]:
        what = "one head of one example at a time (seq, head_dim)"
    why = f"the function does not take four dimensions: called with {what}"
    if failure is not None:
        why += f". With (batch, num_heads, seq, head_dim): {failure.message}"
    return ((f"rank-{rank}", why),)


def _with_weights_note(attention: FunctionAttention, record: ProbeResult) -> FunctionAttention:
    if record.weights_returned:
        return attention
    note = ("weights-recovered", "weights are not returned: recovered by feeding the identity as value")
    return replace(attention, notes=(*attention.notes, note))


# How torch says that sizes do not go together.
_OF_SIZES = re.compile(
    r"must match|is invalid for input|cannot be multiplied|expanded size|Expected size|split_with_sizes"
)
_OF_AXES = re.compile(
    r"AssertionError|(Runtime|Index|Value|Einops)Error.*(siz|shape|dim|match|ax[ei]s|unpack|operand)", re.DOTALL
)
# Of lines that turn or count axes for two or three dimensions.
_TURNED = re.compile(
    r"\.T\b|\.t\(\)|transpose\(\s*[0-9]|permute\(|\bbmm\(|(dim|axis)\s*=\s*[0-9]|size\(\s*[0-9]|shape\[\s*[0-9]|\.shape$",
    re.MULTILINE,
)


def is_about_axes(message: str) -> bool:
    """Whether an exception may come from the number of dimensions: not from a name, a type or a device."""
    return _OF_AXES.match(message) is not None and "cuda" not in message.lower()


def remedy_for_typed_in(message: str, source: str, sizes: Mapping[str, int]) -> str:
    """The remedy where an exception is about a number that stands in the code and is the size of no input; else ""."""
    first = message.partition("\n")[0]
    if not _OF_SIZES.search(first):
        return ""
    numbers = [number for number in re.findall(r"\d+", first) if int(number) > 2 and int(number) not in sizes.values()]
    typed_in = next((number for number in numbers if re.search(rf"(?<![\w.]){number}(?![\w.])", source)), None)
    if typed_in is None:
        return ""
    listed = ", ".join(f"{name} {size}" for name, size in sizes.items())
    return (
        f"{typed_in} stands in the code, and is the size of nothing that came in ({listed}): read sizes off the "
        "tensors, as in query.size(-2)."
    )


def remedy_for_axes(traceback: str) -> str:
    """The remedy where a line of the traceback turns or counts axes as of matrices; else ""."""
    if not _TURNED.search(traceback):
        return ""
    return "Turn the last two axes only: .transpose(-2, -1), not .T; and count axes from the end."
