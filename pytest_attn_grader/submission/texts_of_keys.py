"""Whether the queries and keys of a module may be of different texts: a new token, and those before it."""

from __future__ import annotations

from dataclasses import replace

import torch

from pytest_attn_grader.attention.probes import SPEC_BY_NAME
from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.submission.cache_arguments import cache_styles
from pytest_attn_grader.submission.constructor_roles import roles_of
from pytest_attn_grader.submission.head_adapter import CallStats
from pytest_attn_grader.submission.module_attention import ModuleAttention
from pytest_attn_grader.submission.trials import TRIAL_HEAD_DIM, TRIAL_HEADS, is_right, is_right_on

_BATCH, _TOKENS = 3, 5
_FEWER_QUERIES = ("decode", "chunk")
_ONE_LENGTH = "its views take the number of queries for that of the keys: both are always of one text"
_NO_CACHE = "it has no cache, and {what}: queries and keys are always of one text"


def with_texts_settled(attention: ModuleAttention, seed: int) -> ModuleAttention:
    """The same module, with the reason why it is only called with queries and keys of one text, where there is one.

    A switch for its own causal mask, off by default, stays off where the mask that it takes is all it needs.
    """
    attention = _with_switch_off(attention, seed)
    why = _reason_without_cache(attention) if _takes_fewer_queries(attention, seed) else _ONE_LENGTH
    return attention.with_conventions(replace(attention.oracle.conventions, one_text=why))


def _with_switch_off(attention: ModuleAttention, seed: int) -> ModuleAttention:
    contract = attention.contract
    if "mask" not in contract.roles or "causal" not in roles_of(contract.candidate):
        return attention
    probes = [attention.make_probe(SPEC_BY_NAME[name], seed=seed) for name in _FEWER_QUERIES]
    if all(is_right_on(attention, probe) for probe in probes):
        return attention
    steps = replace(attention.oracle.steps, is_causal=False)
    tried = replace(attention, oracle=replace(attention.oracle, steps=steps))
    settles_all = is_right(tried, seed) and all(is_right_on(tried, probe) for probe in probes)
    return tried if settles_all else attention


def _reason_without_cache(attention: ModuleAttention) -> str | None:
    """A module that is to hide the future by itself, or counts its positions itself, is right for whole texts only."""
    has_cache = any(True for _ in cache_styles(attention.contract.candidate))
    if has_cache or not attention.oracle.steps.is_causal:
        return None
    if not {"mask", "valid_lens"} & attention.contract.roles:
        return _NO_CACHE.format(what="takes no mask")
    return (
        _NO_CACHE.format(what="counts positions from 0") if attention.oracle.conventions.rotation is not None else None
    )


def _takes_fewer_queries(attention: ModuleAttention, seed: int) -> bool:
    """Whether one query may look at several keys, as a new token with a cache does."""
    generator = torch.Generator().manual_seed(seed)
    size = (_BATCH, TRIAL_HEADS, _TOKENS, TRIAL_HEAD_DIM)
    query, key, value = (torch.randn(size, generator=generator) for _ in range(3))
    keep_mask = torch.ones(_BATCH, 1, 1, _TOKENS, dtype=torch.bool)
    try:
        attention.heads.attend(query[:, :, :1], key, value, keep_mask, CallStats())
    except SubmissionError as failure:
        return failure.name != "raised" or "shape" not in failure.message
    return True
