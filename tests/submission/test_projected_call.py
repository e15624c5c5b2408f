"""A module with a cache is called part by part: the same numbers as in one call, for modules that do it right."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from pytest_attn_grader.attention.probes import SPEC_BY_NAME, build_probe, max_abs_error
from pytest_attn_grader.attention.reference import causal_keep_mask, reference_attention
from pytest_attn_grader.submission.adapt import fit
from pytest_attn_grader.submission.cache_arguments import CacheStyle
from pytest_attn_grader.submission.projected import ProjectedInputs
from pytest_attn_grader.submission.projected_call import split_into_chunks, with_cache, with_prefix
from pytest_attn_grader.submission.projections.matrices import one_hot_projections
from pytest_attn_grader.submission.remote.arguments import (
    CacheArgument,
    ComplexTensorRef,
    LiteralArgument,
    TensorRef,
    TupleArgument,
)
from pytest_attn_grader.submission.remote.messages import CallSpec
from pytest_attn_grader.submission.student_attention import NO_CACHE
from pytest_attn_grader.submission.trials import is_right_result
from tests.support.cached_modules import KEPT, RETURNED, ROTARY, START_POS
from tests.support.students import Workshop, change

SEED = 5
# The mask comes from outside, so that a call without the cache of the call before has masks that do not fit.
STARTS_AS_PAIR = change(
    RETURNED,
    ("layer_past=None, use_cache=False", "mask, layer_past=None"),
    ("        keep = torch.ones(t, s, dtype=torch.bool).tril(s - t)\n", ""),
    ("masked_fill(~keep", "masked_fill(~mask"),
    ("        if layer_past is not None:", "        if layer_past is not None and layer_past[0] is not None:"),
    ("present if use_cache else None", "None if layer_past is None else present"),
)
MODULES = {
    "returned": RETURNED,
    "kept": KEPT,
    "rotary": ROTARY,
    "start_pos": START_POS,
    "starts as a pair": STARTS_AS_PAIR,
    "a pair by default": change(
        STARTS_AS_PAIR, ("layer_past=None", "layer_past=(None, None)"), ("layer_past is not None and ", "")
    ),
    "writes into a list": change(
        STARTS_AS_PAIR,
        ("        s = k.shape[-2]\n", "        if layer_past is not None:\n            layer_past[:] = present\n"),
        (", None if layer_past is None else present", ""),
    ),
}
# Right as far as they are asked, with a cache that is not driven.
NOT_DRIVEN = {
    "a class of its own": change(
        ROTARY, ('cache["k"].shape[-2]', "cache.length"), ('cache["k"]', "cache.k"), (', {"k": k, "v": v}', "")
    ),
    "asked for by a call before": change(
        KEPT,
        (
            "        b, t, d = x.shape\n",
            "        b, t, d = x.shape\n"
            "        if use_cache and not hasattr(self, 'max_batch_size'):\n"
            "            raise RuntimeError('no cache: call setup_cache(max_batch_size, max_seq_len) first')\n",
        ),
    ),
    "with room for one example": change(
        KEPT,
        ("x, use_cache=False", "x, start_pos=0, use_cache=False"),
        ("None, persistent", "torch.zeros(1, 256, num_heads, d_out // num_heads), persistent"),
        (
            KEPT[KEPT.index("            if self.cached_keys is None") : KEPT.index("        q, k, v = q.transpose")],
            "            start, stop = start_pos, start_pos + t\n"
            "            self.cached_keys[:, start:stop], self.cached_values[:, start:stop] = k, v\n"
            "            k, v = self.cached_keys[:, :stop], self.cached_values[:, :stop]\n",
        ),
    ),
    "that starts in a way of its own": change(
        STARTS_AS_PAIR,
        ("layer_past is not None and layer_past[0] is not None", "type(layer_past) is Past"),
        ("None if layer_past is None else present", "present if type(layer_past) is Past else None"),
        ("class Attention", "class Past(tuple):\n    pass\n\n\nclass Attention"),
    ),
    "returned and never taken": change(RETURNED, ("layer_past=None, ", ""), ("if layer_past is not None", "if False")),
}


@pytest.mark.sampled(8)
@pytest.mark.parametrize("probe", ["cache-tokens", "cache-chunks"])
@pytest.mark.parametrize("name", MODULES)
def test_the_same_as_the_reference_on_the_whole_text(workshop: Workshop, name: str, probe: str) -> None:
    student = workshop.student(MODULES[name], name="Attention")
    asked = build_probe(SPEC_BY_NAME[probe], seed=SEED)
    answer = fit(student, student.contract, seed=SEED).run_probe(asked)
    exact, _ = reference_attention(
        asked.query.double(), asked.key.double(), asked.value.double(), causal_keep_mask(asked.query.shape[-2])
    )

    assert answer.attn_output is not None, answer.failure
    assert max_abs_error(answer.attn_output, exact, asked) < 2e-5


@pytest.mark.parametrize(
    ("row", "is_right"), [("mask", True), ("(mask if t > 1 else torch.ones_like(mask))", False), ("mask[:1]", False)]
)
def test_padding_beside_a_cache(workshop: Workshop, row: str, is_right: bool) -> None:
    source = change(STARTS_AS_PAIR, ("masked_fill(~mask", f"masked_fill(~{row}"))
    student = workshop.student(source, name="Attention")
    asked = build_probe(SPEC_BY_NAME["cache-padded"], seed=SEED)
    answer = fit(student, student.contract, seed=SEED).run_probe(asked)
    exact, _ = reference_attention(asked.query.double(), asked.key.double(), asked.value.double(), asked.keep_mask)
    assert answer.attn_output is not None, answer.failure
    assert (max_abs_error(answer.attn_output, exact, asked) < 2e-5) is is_right


@pytest.mark.parametrize("name", NOT_DRIVEN)
def test_a_cache_that_is_not_understood_is_left_alone(workshop: Workshop, name: str) -> None:
    student = workshop.student(NOT_DRIVEN[name], name="Attention")
    attention = fit(student, student.contract, seed=SEED)
    assert attention.unsupported_reason(build_probe(SPEC_BY_NAME["cache-tokens"], seed=SEED)) == NO_CACHE


def test_what_starts_as_a_pair_and_is_wrong_later_is_still_asked(workshop: Workshop) -> None:
    wrong = change(STARTS_AS_PAIR, ("zip(layer_past, (k, v))", "zip(layer_past[::-1], (k, v))"))
    student = workshop.student(wrong, name="Attention")
    attention = fit(student, student.contract, seed=SEED)
    asked = build_probe(SPEC_BY_NAME["cache-tokens"], seed=SEED)
    assert attention.unsupported_reason(asked) is None
    exact, _ = reference_attention(
        asked.query.double(), asked.key.double(), asked.value.double(), causal_keep_mask(asked.query.shape[-2])
    )
    answer = attention.run_probe(asked)
    assert answer.attn_output is not None, answer.failure
    assert max_abs_error(answer.attn_output, exact, asked) > 0.1


@pytest.mark.parametrize("kept", ["[..., -8:, :]", "[..., :8, :]", "[..., -20:, :]"])
def test_a_cache_that_is_cut_short_shows(workshop: Workshop, kept: str) -> None:
    student = workshop.student(
        change(RETURNED, ("present = (k, v)", f"present = (k{kept}, v{kept})")), name="Attention"
    )
    attention = fit(student, student.contract, seed=SEED)
    asked = build_probe(SPEC_BY_NAME["cache-tokens"], seed=SEED)
    assert attention.unsupported_reason(asked) is None
    assert not is_right_result(attention.run_probe(asked), asked)


def test_every_token_and_every_row_of_the_mask_once() -> None:
    query, key, value = torch.randn(3, 2, 4, 9, 16).unbind()
    states, _, projections = one_hot_projections(query, key, value)
    mask = causal_keep_mask(9).expand(2, 1, 9, 9)
    whole = ProjectedInputs(states, states, projections, mask, chunks=(4, 2, 3))
    parts = list(split_into_chunks(whole))

    assert torch.equal(torch.cat([part.key_states for part in parts], dim=1), states)
    assert [part.past for part in parts] == [0, 4, 6]
    for part, stop in zip(parts, (4, 6, 9), strict=True):
        assert torch.equal(part.keep_mask, mask[:, :, part.past : stop, :stop])
    assert all(one.past < other.past for one, other in pairwise(parts))


def test_arguments_by_position_keep_their_place() -> None:
    spec = CallSpec("f", (("x", TensorRef("hidden_states")), ("start_pos", LiteralArgument(0))))
    cached = with_cache(spec, CacheStyle("past", flag="use_cache", start="start_pos"), 7)
    assert cached.arguments == (("x", TensorRef("hidden_states")), ("start_pos", LiteralArgument(7)))
    assert cached.keywords == (("past", CacheArgument()), ("use_cache", LiteralArgument(True)))


def test_each_call_has_tensors_of_its_own_and_the_same_parameters() -> None:
    pair = TupleArgument((TensorRef("cos"), TensorRef("sin")))
    arguments = (("a", pair), ("b", ComplexTensorRef("c")), ("w", TensorRef("parameter.w")), ("n", LiteralArgument(1)))
    renamed = with_prefix(CallSpec("f", keywords=arguments), "2.")
    assert renamed.keywords == (
        ("a", TupleArgument((TensorRef("2.cos"), TensorRef("2.sin")))),
        ("b", ComplexTensorRef("2.c")),
        ("w", TensorRef("parameter.w")),
        ("n", LiteralArgument(1)),
    )
