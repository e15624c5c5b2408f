"""Trials of what a signature leaves open: how a mask is meant, whether dropout is a number. The reference decides."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pytest_attn_grader.attention.probes import SPEC_BY_NAME, Probe, ProbeResult, max_abs_error, without_gradients
from pytest_attn_grader.attention.query_key_norm import NormAxis
from pytest_attn_grader.attention.reference import causal_keep_mask
from pytest_attn_grader.attention.tolerances import derive_tolerance
from pytest_attn_grader.misconceptions.syntax import takes_mask_of_ones
from pytest_attn_grader.submission.constructor_roles import is_resizable
from pytest_attn_grader.submission.contract import Contract
from pytest_attn_grader.submission.function_names import GROUP_NUMBERS
from pytest_attn_grader.submission.masks import BIASED, INFINITE, bias_of_keys
from pytest_attn_grader.submission.module_attention import ModuleAttention
from pytest_attn_grader.submission.projections.norms import NormStyle
from pytest_attn_grader.submission.student_attention import StudentAttention

if TYPE_CHECKING:
    from pytest_attn_grader.submission.student import Student

CACHE_PROBES = ("cache-tokens", "cache-chunks")
# On padding at the right alone, a causal mask and an unused mask give the same outputs.
_MASKED_PROBES = ("basic", "left-padding")
# sm_scale, softmax_scale and scaling are what scores are multiplied by.
_FACTOR_OR_DIVISOR = frozenset({"scale", "scale_factor", "scaling_factor", "attn_scale"})
TRIAL_HEADS, TRIAL_HEAD_DIM = 4, 64
TRIAL_SIZES = TRIAL_HEADS, TRIAL_HEAD_DIM
_TRIAL_BATCH, TRIAL_TOKENS = 3, 5
# Scores of queries and keys that are so many times longer differ, unless a norm takes the lengths away.
_LONGER = 8.0
# The value comes back exactly or not at all; a tenth of a percent leaves room for an epsilon in the softmax.
_SAME = 1e-3
# A norm over all heads side by side needs all of them in one module.
_HEADS: dict[NormAxis, tuple[int, ...]] = {"head_dim": (1, TRIAL_HEADS), "width": (TRIAL_HEADS,)}


def contract_variants(contract: Contract) -> Iterator[Contract]:
    """The contract, and what may be tried when it is not the right one, each with a note that says so."""
    yield contract
    if set(contract.parameters("dropout_p")) & contract.needed:
        why = "its dropout is passed as None: it is a module or function, not a number"
        yield contract.with_other_roles({"dropout_p": "none"}).with_note("dropout", why)
    if GROUP_NUMBERS & contract.roles:
        # "num_kv_groups" is a number of groups, or of query heads in each.
        swapped = contract.with_other_roles({"key_value_heads": "group_size", "group_size": "key_value_heads"})
        meaning = "key/value heads" if "key_value_heads" in swapped.roles else "query heads for each of them"
        named = " and ".join(swapped.parameters(*GROUP_NUMBERS))
        yield swapped.with_note("group-size", f"{named} is passed as the number of {meaning}")
    factors = contract.parameters("factor")
    if any(name.lower() in _FACTOR_OR_DIVISOR for name in factors):
        why = f"{factors[0]} is passed as sqrt(head_dim): the scores are divided by it"
        yield contract.with_other_roles({"factor": "divisor"}).with_note("divisor", why)
    if not contract.is_mask_settled and {"mask", "key_padding_mask"} & contract.roles:
        why = "the mask is passed as 1 (may attend) and 0: True and False fail"
        yield replace(contract, is_mask_numeric=True).with_note("numeric-mask", why)
        why = "the mask is passed as 0 and very negative numbers: it is added to the scores"
        yield replace(contract, mask_convention="additive").with_note("additive-mask", why)
        why = "the mask is passed as 0 and -inf: other numbers mask nothing"
        yield replace(contract, mask_convention=INFINITE).with_note("infinite-mask", why)


def is_right(attention: StudentAttention, seed: int) -> bool:
    """Whether the outputs on probes, padded right and left, are the reference's, within derived tolerances."""
    probes = [without_gradients(attention.make_probe(SPEC_BY_NAME[name], seed=seed)) for name in _MASKED_PROBES]
    return all(is_right_on(attention, probe) for probe in probes)


def adds_its_mask(attention: StudentAttention, seed: int) -> bool:
    """Whether the mask is added to the scores: with small numbers in it, the output must show them."""
    probe = without_gradients(attention.make_probe(SPEC_BY_NAME["left-padding"], seed=seed))
    if attention.unsupported_reason(probe) is not None:
        return True
    biased = replace(attention, contract=replace(attention.contract, mask_convention=BIASED))
    output = biased.run_probe(probe).attn_output
    if output is None or output.shape != probe.query.shape:
        return False
    query, key, value = (tensor.double() for tensor in (*probe.prepared, probe.value))
    scores = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5
    scores = scores.masked_fill(~probe.keep_mask, torch.finfo(scores.dtype).min)
    _, tolerance = derive_tolerance(probe)
    # A mask of the padding beside the other one has the small numbers as well; scores may be scaled with the mask.
    scalings = (1.0, query.shape[-1] ** -0.5, (query.shape[1] * query.shape[-1]) ** -0.5)
    factors = (times * scaling for scaling in scalings for times in (1, 2))
    expected = ((scores + factor * bias_of_keys(key.shape[-2])).softmax(dim=-1) @ value for factor in factors)
    return any(max_abs_error(output, each, probe) <= tolerance.tolerance["attn_output"] for each in expected)


def is_written_for(attention: StudentAttention, seed: int) -> bool:
    """Whether the mask of numbers with which a submission is right is what it is written for.

    It is where the numbers are added, or where -inf masks and other numbers do not.
    """
    if attention.contract.mask_convention == "additive":
        return adds_its_mask(attention, seed)
    additive = replace(attention.contract, mask_convention="additive")
    return attention.contract.mask_convention != INFINITE or not is_right(replace(attention, contract=additive), seed)


def is_right_on(attention: StudentAttention, probe: Probe) -> bool:
    if attention.unsupported_reason(probe) is not None:
        return True  # a probe that is too large for it settles nothing
    return is_right_result(attention.run_probe(probe), probe)


def is_right_unpadded(attention: StudentAttention, seed: int) -> bool:
    """Whether its output on a text without padding is the reference's."""
    probe = attention.make_probe(replace(SPEC_BY_NAME["basic"], padding="none"), seed=seed)
    return is_right_on(attention, without_gradients(probe))


def is_right_on_one_example(attention: StudentAttention, seed: int) -> bool:
    """Whether it gives the reference's output for one of the probes with a cache, with one example in it."""
    specs = [replace(SPEC_BY_NAME[name], batch_size=1) for name in CACHE_PROBES]
    return any(is_right_on(attention, attention.make_probe(spec, seed=seed)) for spec in specs)


def is_right_result(result: ProbeResult, probe: Probe) -> bool:
    """Whether a submission has answered a probe with the reference's output, within the derived tolerance."""
    output = result.attn_output
    if output is None or output.shape != probe.query.shape:
        return False
    exact, tolerance = derive_tolerance(probe)
    assert exact.attn_output is not None
    return max_abs_error(output, exact.attn_output, probe) <= tolerance.tolerance["attn_output"]


def make_trial(seed: int, tokens: int, batch_size: int = _TRIAL_BATCH) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Random query, key and value of the trial sizes, and a causal keep mask."""
    generator = torch.Generator().manual_seed(seed)
    size = (batch_size, TRIAL_HEADS, tokens, TRIAL_HEAD_DIM)
    query, key, value = (torch.randn(size, generator=generator) for _ in range(3))
    return query, key, value, causal_keep_mask(tokens).expand(batch_size, 1, -1, -1).contiguous()


def returns_the_value(attention: ModuleAttention, seed: int) -> bool:
    """Whether the output of a single token is its value, also where its mask means the opposite."""
    query, key, value, keep_mask = make_trial(seed, 1)
    output = _last_rows(attention, (query,), key, value, keep_mask)[0]
    return bool((output - value[:, :, -1]).abs().max() <= _SAME * value.abs().max())


def _last_rows(
    attention: ModuleAttention, queries: Sequence[Tensor], key: Tensor, value: Tensor, keep_mask: Tensor
) -> list[Tensor]:
    """The output of the last token for each query; with the opposite mask, which may be meant, where none is finite."""
    rows: list[Tensor] = []
    for mask in (keep_mask, ~keep_mask):
        rows = [attention.attend(each, key, value, mask).attn_output[:, :, -1] for each in queries]
        if "mask" not in attention.contract.roles or rows[0].isfinite().any():
            break
    return rows


def query_is_row_local(attention: ModuleAttention, seed: int) -> bool:
    """Whether another query for the first token leaves the second token's output unchanged; another key changes it.

    This settles which third of a fused matrix is the query when its name does not say it.
    """
    query, key, value, keep_mask = make_trial(seed, 2, batch_size=1)
    other_query = torch.cat([make_trial(seed + 1, 1, batch_size=1)[0], query[:, :, 1:]], dim=2)
    outputs = _last_rows(attention, (query, other_query), key, value, keep_mask)
    return bool((outputs[0] - outputs[1]).abs().max() <= _SAME * value.abs().max())


def with_weights_settled(attention: ModuleAttention, seed: int) -> ModuleAttention:
    """The same attention, with what comes back beside the output; a mask of a wrong shape fails with several tokens."""
    query, key, value, keep_mask = make_trial(seed, TRIAL_TOKENS)
    heads = attention.heads
    _, attn_weights = heads.attend(query, key, value, keep_mask)
    return replace(attention, returns_weights=attn_weights is not None, returns_scores=heads.stats.returns_scores)


def with_norm(attention: ModuleAttention, over: NormAxis, seed: int) -> ModuleAttention:
    """The same attention with its norms of query and key known; unchanged where it has none.

    It has them when parameters are called so, though they may not be used as the layer uses its own. With weights of 0
    all scores are equal, so that the output is that of a query and a key of 0, whatever the mask is: this settles what
    the module adds to its weights. Without parameters, it has a norm when the lengths of query and key do not matter.
    """
    shape = attention.oracle.shape_for(*TRIAL_SIZES)
    fits = shape.head_dim == TRIAL_HEAD_DIM and shape.num_heads in _HEADS[over]
    if not fits or not is_resizable(attention.contract.candidate):
        return attention
    query, key, value, keep_mask = make_trial(seed, TRIAL_TOKENS)
    nothing = torch.zeros(1, 1, TRIAL_HEAD_DIM)

    def is_same(tried: ModuleAttention, other: tuple[Tensor, Tensor], **how: Any) -> bool:
        outputs = [tried.heads.attend(*pair, value, keep_mask, **how)[0] for pair in ((query, key), other)]
        difference = (outputs[0] - outputs[1]).abs()
        # A mask that is meant the other way round leaves rows without a key: NaN in both says nothing.
        known = difference[difference.isfinite()]
        return bool(known.numel()) and bool(known.max() <= _SAME * value.abs().max())

    def styled(offset: int) -> ModuleAttention:
        return replace(attention, conventions=replace(attention.conventions, norm=NormStyle(over, offset)))

    if shape.norms is None:
        return styled(0) if is_same(attention, (_LONGER * query, _LONGER * key)) else attention
    zeros = (torch.zeros_like(query), torch.zeros_like(key))
    offsets = (0, 1)
    return next(
        (tried for tried in map(styled, offsets) if is_same(tried, zeros, norm_weights=(nothing, nothing))), styled(0)
    )


def source_takes_mask_of_ones(student: Student, contract: Contract) -> bool:
    """Whether its source adds the mask minus 1, so that an additive mask is not what it is written for."""
    words = ("mask", *(slot.parameter.lower() for slot in contract.slots if slot.role == "mask"))
    return takes_mask_of_ones(student.target.source.nodes, words)


def source_adds_mask(student: Student, contract: Contract) -> bool:
    """Whether its source adds the mask to the scores, so that an additive mask is what it is written for.

    nn.MultiheadAttention adds what it gets as key_padding_mask, unless it is boolean: then True is what it blocks.
    """
    names = contract.parameters("mask", "key_padding_mask")
    source = student.target.source
    passed = [
        ast.unparse(node.value)
        for node in source.nodes
        if isinstance(node, ast.keyword) and node.arg == "key_padding_mask"
    ]
    return bool(names) and (source.adds_mask(names[0]) or names[0] in passed)
