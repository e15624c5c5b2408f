"""Trials of the way in which a submission passes its cache of keys and values on."""

from __future__ import annotations

import re
from dataclasses import replace

from pytest_attn_grader.attention.probes import SPEC_BY_NAME, Probe
from pytest_attn_grader.submission.cache_arguments import cache_styles
from pytest_attn_grader.submission.module_attention import ModuleAttention
from pytest_attn_grader.submission.projected_student import NO_CACHE_RETURNED
from pytest_attn_grader.submission.remote.retries import another_call_may_answer
from pytest_attn_grader.submission.trials import (
    CACHE_PROBES,
    is_right_on_one_example,
    is_right_result,
    is_right_unpadded,
)

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
    by_token: ModuleAttention | None = None
    answered: ModuleAttention | None = None
    raised: ModuleAttention | None = None
    for usual in cache_styles(attention.contract.candidate):
        style = replace(usual, masks_itself=masks_itself)
        tried = attention.with_cache(style)
        results = [tried.run_probe(probe) for probe in probes]
        failures = [result.failure for result in results]
        in_tokens, in_chunks = (
            tried.unsupported_reason(probe) is not None or is_right_result(result, probe)
            for result, probe in zip(results, probes, strict=True)
        )
        if in_chunks:
            return tried
        if in_tokens:
            by_token = by_token or attention.with_cache(replace(style, single_tokens=True))
        if None in failures:
            answered = answered or tried
        elif style.first != "object" and all(each and _SIZES_DIFFER.match(each.message) for each in failures):
            raised = raised or (tried if _passes_a_cache_on(tried, probes[0]) else None)
        if any(failure and not another_call_may_answer(failure.name, failure.remedy) for failure in failures):
            break
    raised = None if raised is not None and is_right_on_one_example(raised, seed) else raised
    return by_token or answered or raised or attention


def _masks_itself(attention: ModuleAttention, seed: int) -> bool:
    """Whether it hides the future without the mask, which it need not be given."""
    masks = {slot.parameter for slot in attention.contract.slots if slot.role == "mask"}
    optional = {each.name for each in attention.contract.candidate.called.parameters if each.has_default}
    if not masks or not masks <= optional:
        return False
    return is_right_unpadded(attention.with_contract(attention.contract.without_role("mask")), seed)


def _passes_a_cache_on(attention: ModuleAttention, probe: Probe) -> bool:
    """Whether a call with all tokens leaves a cache: it may fail, but not because there is none."""
    failure = attention.run_probe(replace(probe, chunks=(sum(probe.chunks),))).failure
    return failure is None or failure.message != NO_CACHE_RETURNED
