"""Sizes that the code takes for granted."""

from __future__ import annotations

import re

from torch import Tensor, ones

from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.observations import Recognition, SubmissionObservations
from pytest_attn_grader.misconceptions.stages import Inputs

_NUMBERS = re.compile(r"\d+")


def _assumes_a_length(case: SubmissionObservations) -> Recognition | None:
    """It answers at one length only, and every complaint about a size names the same number."""
    answered, failed, wrong_shape = set(), [], []
    for name in case.eval_probes():
        output = case.attempts[name].attn_output
        if output is not None and output.shape == case.probes[name].query.shape:
            answered.add(_lengths(case, name))
        elif output is not None:
            wrong_shape.append(name)
        elif case.failure_mentions(name, ("size", "shape", "dimension", "index")):
            failed.append(name)
    lengths_failed = {_lengths(case, name) for name in failed}
    if case.grows_with_calls() or len(lengths_failed) < 2 or len(answered) > 1 or lengths_failed & answered:
        return None
    numbers = [set(map(int, _NUMBERS.findall(case.failure_message(name)))) - set(case.sizes(name)) for name in failed]
    common = set.intersection(*numbers) - {0, 1}
    if not common and not answered:
        return None
    works_with = max(common) if common else next(iter(answered))[1]
    return Recognition(case.all_of(*failed, *wrong_shape), f"it works with {works_with} tokens only")


def _lengths(case: SubmissionObservations, name: str) -> tuple[int, int]:
    probe = case.probes[name]
    return probe.query.shape[-2], probe.key.shape[-2]


@misconception(
    "AG901", "hard-T", replaces="mask", family="shape", probe="narrow", by_numbers=False, recognise=_assumes_a_length
)
def hard_length(attn_scores: Tensor, _: Inputs) -> Tensor:
    """works for one sequence length only, which is written into the code.

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
