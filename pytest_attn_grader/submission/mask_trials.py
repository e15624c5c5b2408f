"""Trials of the mask's shape, where the first shape that a submission takes leaves no trace in its output."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor

from pytest_attn_grader.attention.probes import SPEC_BY_NAME, Probe, ignore_padding, real_rows, without_gradients
from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.submission.contract import Contract
from pytest_attn_grader.submission.remote.retries import another_call_may_answer
from pytest_attn_grader.submission.student_attention import StudentAttention
from pytest_attn_grader.submission.trials import contract_variants, is_right, is_right_on

# The note that a parameter was taken as the mask because of its place.
_GUESS = "mask-by-position"

FittedAttention = TypeVar("FittedAttention", bound=StudentAttention)


def with_used_mask(attention: FittedAttention, others: Iterable[FittedAttention], seed: int) -> FittedAttention:
    """The same attention where its mask shows in its output, else one of the others.

    A submission may pass over a mask of another rank without a word. So where padding on the left changes nothing (or
    only in another convention: a broadcast mask), the first of the others with the reference's output is meant;
    failing that, the first whose output shows the mask. Where none does, an encoder is given what it is expected to
    use, a mask of the padding.

    Args:
        others: the same attention, given its mask in other shapes.
    """
    if not attention.contract.takes_mask:
        return attention
    try:
        shown_in = _contract_that_shows_mask(attention, seed)
        if shown_in is attention.contract:
            return attention
    except SubmissionError:
        return attention  # the checks will meet the same failure, and say what it is
    shows = attention if shown_in else None
    hides_padding: FittedAttention | None = None
    for other in others:
        try:
            if _contract_that_shows_mask(other, seed) is None:
                if other.is_bidirectional:
                    hides_padding = hides_padding or other
                continue
        except SubmissionError as failure:
            if not another_call_may_answer(failure.name, failure.remedy):
                break
            continue
        if any(is_right(replace(other, contract=variant), seed) for variant in contract_variants(other.contract)):
            return other
        shows = shows or other
    return shows or hides_padding or _without_guessed_mask(attention, seed) or attention


def _without_guessed_mask(attention: FittedAttention, seed: int) -> FittedAttention | None:
    """The same attention without a mask, where an optional parameter of another name was only taken for one.

    That is where nothing shows the mask, and the attention hides the future by itself. None elsewhere.
    """
    contract = attention.contract
    if not any(name == _GUESS for name, _ in contract.notes) or not contract.has_optional_mask:
        return None
    notes = tuple(note for note in contract.notes if note[0] != _GUESS)
    maskless = replace(attention, contract=replace(contract.without_role("mask"), notes=notes))
    probe = without_gradients(ignore_padding(attention.make_probe(SPEC_BY_NAME["left-padding"], seed=seed)))
    return maskless if is_right_on(maskless, probe) else None


def _contract_that_shows_mask(attention: StudentAttention, seed: int) -> Contract | None:
    """The first variant of its contract in which padding on the left changes the output.

    Raises:
        SubmissionError: it does not answer with the mask of its contract.
    """
    padded = attention.make_probe(SPEC_BY_NAME["left-padding"], seed=seed)
    if attention.unsupported_reason(padded) is not None:
        return attention.contract  # a probe that is too large for it settles nothing
    # Where examples are called one by one as soon as their masks differ, examples that it mixes would look like a mask.
    alone = attention.make_probe(replace(SPEC_BY_NAME["left-padding"], batch_size=1), seed=seed)
    for variant in contract_variants(attention.contract):
        tried = replace(attention, contract=variant)
        try:
            if _shows_mask(tried, padded) and _shows_mask(tried, alone):
                return variant
        except SubmissionError:
            if variant is attention.contract:
                raise
    return None


def _shows_mask(attention: StudentAttention, padded: Probe) -> bool:
    """Whether this padding changes the output."""

    def output(keep_mask: Tensor) -> Tensor:
        with torch.no_grad():
            answer = attention(padded.query, padded.key, padded.value, keep_mask)
        return real_rows(answer[0] if isinstance(answer, tuple) else answer, padded).nan_to_num()

    return not torch.equal(output(padded.keep_mask), output(ignore_padding(padded).keep_mask))
