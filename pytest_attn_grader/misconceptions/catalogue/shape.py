"""Sizes that the code takes for granted."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import NoReturn

from torch import Tensor, ones

from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.observations import Recognition, SubmissionObservations
from pytest_attn_grader.misconceptions.stages import Inputs

_SIZE_WORDS = re.compile(r"size|shape|length|out of range", re.IGNORECASE)
_NUMBERS = re.compile(r"\d+")
_PRODUCT = re.compile(r"\(\d+x(\d+) and \d+x\d+\)")
_NOT_CONTIGUOUS = "view size is not compatible"


def _assumes_a_length(case: SubmissionObservations) -> Recognition | None:
    """It answers at one length only, and every complaint about a size names the same number."""
    answered, failed, wrong_shape = set(), [], []
    for name in case.attempts:
        output = case.attempts[name].attn_output
        if output is not None and output.shape == case.probes[name].query.shape:
            answered.add(_lengths(case, name))
        elif output is not None:
            wrong_shape.append(name)
        elif _complains_about_size(_own_text(case, name)) and not _complains_about_width(case, name):
            failed.append(name)
    own_numbers = {name: _numbers(case, name) - case.sizes(name) for name in failed}
    complaints = tuple(failed)
    if any(own_numbers.values()):
        # A complaint that names sizes of the call only is another mistake's.
        failed = [name for name in failed if own_numbers[name]]
    lengths_failed = {_lengths(case, name) for name in failed}
    if case.grows_with_calls() or not lengths_failed or lengths_failed & answered:
        return None
    common = set.intersection(*(own_numbers[name] for name in failed)) - {0, 1}
    # A limit may be a size of the call too, such as head_dim.
    limit = max(set.intersection(*(_numbers(case, name) for name in failed)), default=0)
    longest_answered = max((key_len for _, key_len in answered), default=0)
    if answered and longest_answered <= limit < min(key_len for _, key_len in lengths_failed):
        explained = case.all_of(*failed, *wrong_shape)
        return Recognition(explained, f"it takes texts of up to {limit} tokens only, and was called with more")
    if len(answered) > 1 or len(lengths_failed) < 2:
        return None
    square = (case.probes["square"].query.shape[-1],) * 2 if "square" in case.probes else None
    if not common and (not answered or answered <= {square, (1, 1)}):
        # As many tokens as the head has dimensions: the code confuses the two. A single token hides any mix-up of axes.
        return None
    works_with = max(common) if common else next(iter(answered))[1]
    return Recognition(case.all_of(*complaints, *wrong_shape), f"it works with {works_with} tokens only")


def _numbers(case: SubmissionObservations, name: str) -> set[int]:
    """Numbers in the complaint, but for the lengths of the call."""
    return set(map(int, _NUMBERS.findall(_own_text(case, name)))) - set(_lengths(case, name))


def _complains_about_size(text: str) -> bool:
    """Whether PyTorch or Python complains; an assertion of the student's counts if it names a size."""
    if _NOT_CONTIGUOUS in text:
        return False
    own = text.startswith(("AssertionError", "ValueError", "NotImplementedError"))
    return _SIZE_WORDS.search(text) is not None and (not own or _NUMBERS.search(text) is not None)


def _complains_about_width(case: SubmissionObservations, name: str) -> bool:
    """Whether rows of a head's dimensions do not fit a matrix: a width is written into the code, and no length."""
    product = _PRODUCT.search(_own_text(case, name))
    return product is not None and int(product[1]) == case.probes[name].query.shape[-1]


_NO_LENGTH = re.compile(r"\(?[\w./-]+\.(?:py|ipynb):\d+\)?|line \d+|dimension -?\d+|\b\d+-D\b|\d+D\b|\bm\d\b|c10::\w+")


def _own_text(case: SubmissionObservations, name: str) -> str:
    """Message of the exception, without traceback, file names, line numbers and axes."""
    failure = case.attempts[name].failure
    return "" if failure is None else _NO_LENGTH.sub("", failure.message.partition("\n")[0])


def _lengths(case: SubmissionObservations, name: str) -> tuple[int, int]:
    probe = case.probes[name]
    return probe.query.shape[-2], probe.key.shape[-2]


@misconception(
    "AG901", "hard-T", replaces="mask", family="shape", probe="narrow", by_numbers=False, recognise=_assumes_a_length
)
def hard_length(attn_scores: Tensor, _: Inputs) -> Tensor:
    """works for some sequence lengths only, because a length is written into the code.

    Texts have different lengths, and during generation the length changes with every token. Sizes belong to the tensors
    that are passed in: query.size(-2), key.size(-2).

    Bad:
        keep = torch.tril(torch.ones(1024, 1024))
    Good:
        keep = torch.tril(torch.ones(query.size(-2), key.size(-2)))

    Effect: An exception for every text of another length.
    Nudge: Is there a number in your code that should come from a tensor's shape?
    Fix: Replace the number by query.size(-2) or key.size(-2), or cut the mask: keep[:query_len, :key_len].
    """
    keep = ones(1024, 1024, dtype=attn_scores.dtype, device=attn_scores.device).tril()
    return attn_scores.masked_fill(keep == 0, float("-inf"))


def _views_swapped_axes(case: SubmissionObservations) -> Recognition | None:
    found = case.raised(
        _NOT_CONTIGUOUS, "view was called on a tensor whose numbers do not lie in the order of its axes"
    )
    lines = [case.failing_line(name) for name in case.attempts]
    line = next((line for line in lines if "view" in line), "")
    return replace(found, evidence=f"{found.evidence}, in `{line}`") if found and line else found


@misconception(
    "AG902",
    "view-not-contiguous",
    replaces="finish",
    family="shape",
    by_numbers=False,
    recognise=_views_swapped_axes,
)
def view_not_contiguous(_: Tensor, __: Inputs) -> NoReturn:
    """calls view on a tensor that is not contiguous, as it is after transpose or permute.

    transpose and permute swap axes without moving a number in memory. view only reinterprets memory as it lies, so that
    it cannot join axes that do not lie side by side. It fails on a part of a fused projection, too, when that is viewed
    as (batch, heads, seq, head_dim): the heads are split by view(batch, seq, heads, head_dim).transpose(1, 2).

    Bad:
        attn_output.transpose(1, 2).view(batch, seq, num_heads * head_dim)
    Good:
        attn_output.transpose(1, 2).reshape(batch, seq, num_heads * head_dim)

    Effect: An exception at this line.
    Nudge: Which step before view changed the order of the axes?
    Fix: Write .reshape(...), or .contiguous().view(...), after the transpose.
    """
    raise RuntimeError(_NOT_CONTIGUOUS)
