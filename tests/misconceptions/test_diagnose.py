"""Diagnosis on attentions that run in this process; the corpus (test_corpus.py) does the same through the worker."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from pytest_attn_grader.attention.probes import INPUT_NAMES, Capabilities, ProbeResult, diagnosis_probes
from pytest_attn_grader.misconceptions import (
    MISCONCEPTIONS,
    PredictionCache,
    diagnose,
    diagnose_failure,
    find_misconception,
)
from pytest_attn_grader.misconceptions.hypotheses import CORRECT, Hypothesis
from pytest_attn_grader.misconceptions.matching import run_probe
from pytest_attn_grader.misconceptions.mismatches import MismatchFinder
from pytest_attn_grader.misconceptions.stages import StagedAttention, StageOverride
from pytest_attn_grader.results.submission import Failure

# The catalogue's own code against itself proves that every mistake can be seen and told from every other one.
# Those with rotary positions are compared only with a submission that rotates: see test_rotary_mistakes.
BY_NUMBERS = [known for known in MISCONCEPTIONS if known.by_numbers and known.counted and not known.rotary]


@pytest.mark.sampled(12)
@pytest.mark.parametrize("known", BY_NUMBERS, ids=lambda known: known.slug)
def test_every_mistake_is_told_from_every_other(known, diagnose_attention):
    convention = "additive" if known.slug == "additive-as-bool" else "keep"
    diagnosis = diagnose_attention(known.attention, layer_of=known, mask_convention=convention)
    assert diagnosis is not None
    found = set(diagnosis.slugs) | set(diagnosis.look_alikes)
    assert len(diagnosis.slugs) == 1, diagnosis.message
    assert known.slug in found
    assert found <= {known.slug, *known.look_alikes}, diagnosis.message


@pytest.mark.sampled(12)
@pytest.mark.parametrize("known", BY_NUMBERS, ids=lambda known: known.slug)
def test_every_form_of_a_mistake_is_wrong_somewhere(known, case_of):
    for change in known.changes:
        if change.note.startswith(("blocks of 128", "blocks of 256", "blocks of 64, the maximum of the last")):
            continue  # they show on long texts only, the last one where there are three blocks
        assert MismatchFinder(case_of(change.pipeline(), layer_of=known), PredictionCache()).faults(CORRECT), (
            change.note
        )


def test_a_right_attention_gets_no_diagnosis(diagnose_attention, right):
    assert diagnose_attention(right) is None


def test_a_fill_that_float16_cannot_hold_is_no_fault(diagnose_attention):
    assert diagnose_attention(find_misconception("fp16-1e9").attention) is None


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("no-scale", "q-data"),
        ("no-scale", "weights-detached"),
        ("scale-dmodel", "mask-after-softmax"),
        ("diag-off-loose", "merge-view"),
        ("pad-ignored", "no-grad"),
        ("qk-swapped", "inplace-saved"),
    ],
)
def test_two_mistakes_are_both_named(first, second, diagnose_attention):
    one, other = (
        Hypothesis((find_misconception(slug),), find_misconception(slug).changes[0]) for slug in (first, second)
    )
    pair = next(one.combine(other))
    diagnosis = diagnose_attention(pair.pipeline)
    assert set(diagnosis.slugs) == {first, second}, diagnosis.message
    assert diagnosis.message.startswith("Your attention has 2 mistakes, the most fundamental first: (1) it ")
    order = [known.slug for known in MISCONCEPTIONS]
    assert list(diagnosis.slugs) == sorted(diagnosis.slugs, key=order.index)


def test_a_wrong_forward_pass_and_missing_dropout_are_both_named(diagnose_attention):
    change = StageOverride({"scale": lambda scores, _: scores, "drop": lambda weights, _: weights})
    diagnosis = diagnose_attention(change.pipeline())
    assert set(diagnosis.slugs) == {"no-scale", "dropout-missing"}
    assert "the answer in training equals the one outside of it" in diagnosis.message


@pytest.mark.slow
def test_a_rest_that_the_named_mistake_does_not_explain_is_listed(diagnose_attention):
    attention = StageOverride(
        {"reweigh": lambda weights, _: weights * 0.3, "drop": lambda weights, _: weights}
    ).pipeline()
    diagnosis = diagnose_attention(attention)
    assert diagnosis.slugs == ("dropout-missing",)
    assert diagnosis.unexplained.startswith("the output with three examples of 10 tokens, padded right and ")
    assert "more inputs; the weights with " in diagnosis.unexplained
    assert f"Something else is wrong: {diagnosis.unexplained}." in diagnosis.message
    assert diagnose_attention(attention, hints="nudge").unexplained == ""
    assert diagnose_attention(find_misconception("no-scale").attention).unexplained == ""


@pytest.mark.slow
def test_no_known_mistake_is_said_plainly(diagnose_attention):
    change = StageOverride({"reweigh": lambda weights, _: weights / 8})
    diagnosis = diagnose_attention(StageOverride({"reweigh": lambda weights, _: weights * 0.3}).pipeline())
    assert diagnosis.slugs == ()
    assert "None of the" in diagnosis.message
    assert "rows sum to 0.3, weights otherwise right" in diagnosis.message
    assert diagnosis.hint == ""
    # 1/8 after a *scaled* softmax is not the scale that came too late, and must not be called so.
    assert "rows sum to 0.125, weights otherwise right" in diagnose_attention(change.pipeline()).message


def test_a_search_has_a_bound_of_time(diagnose_attention, monkeypatch):
    """Two mistakes are found by trying thousands of pairs; without time for them the message does not say "none"."""
    one, other = (
        Hypothesis((find_misconception(slug),), find_misconception(slug).changes[0])
        for slug in ("scale-dmodel", "mask-after-softmax")
    )
    attention = next(one.combine(other)).pipeline
    for name in ("MIN_SECONDS", "MAX_SECONDS"):
        monkeypatch.setattr(f"pytest_attn_grader.misconceptions.search.{name}", 0.0)
    diagnosis = diagnose_attention(attention)
    assert diagnosis.slugs == ()
    assert "(not all pairs were tried in the time)" in diagnosis.message
    monkeypatch.undo()
    assert len(diagnose_attention(attention, seconds=-1.0).slugs) == 2


def test_the_mistake_that_explains_most_is_named_although_no_time_is_left_for_pairs(diagnose_attention, monkeypatch):
    def attend(query, key, value, keep_mask, **_):
        scores = (query @ key.transpose(-2, -1)).masked_fill(~keep_mask, float("-inf"))
        weights = scores.softmax(dim=-1)
        return weights @ value + (query.shape[-1] != 64), weights

    for name in ("MIN_SECONDS", "MAX_SECONDS"):
        monkeypatch.setattr(f"pytest_attn_grader.misconceptions.search.{name}", 0.0)
    diagnosis = diagnose_attention(attend)
    assert "no-scale" in diagnosis.slugs
    assert "Something else is wrong" in diagnosis.message + diagnosis.unexplained


def test_where_the_mistake_does_not_show_is_not_said_to_be_wrong(diagnose_attention):
    def attend(query, key, value, keep_mask, **_):
        factor = query.shape[-1] ** -0.5 if len(query) == 1 else 1.0
        weights = (factor * query @ key.mT).masked_fill(~keep_mask, torch.finfo(query.dtype).min).softmax(-1)
        return weights @ value, weights

    diagnosis = diagnose_attention(attend)
    assert "no-scale" in diagnosis.slugs
    assert " Other than that attention, yours is right with one example" in diagnosis.message
    assert "Something else is wrong: the output" not in diagnosis.message


def test_an_odd_factor_is_read_off_the_weights(diagnose_attention):
    diagnosis = diagnose_attention(StageOverride({"scale": lambda scores, _: scores * 0.05}).pipeline())
    assert diagnosis.slugs == ("scale-other",)
    assert "scores are multiplied by 0.05" in diagnosis.message


def test_a_number_typed_in_is_said_with_the_head_dims_it_fits(diagnose_attention):
    diagnosis = diagnose_attention(StageOverride({"scale": lambda scores, _: scores / 8.0}).pipeline())
    assert diagnosis.slugs == ("scale-other",)
    assert "by 0.125, which is 1/sqrt(64), whatever head_dim is: right for 64, wrong for 48 and 16" in diagnosis.message


def test_a_power_of_head_dim_is_read_off_the_weights(diagnose_attention):
    def scale(scores, inputs):
        return scores * 3 * inputs.query.shape[-1] ** -0.75

    diagnosis = diagnose_attention(StageOverride({"scale": scale}).pipeline())
    assert diagnosis.slugs == ("scale-other",)
    assert "scores are multiplied by 3 * head_dim ** -0.75" in diagnosis.message
    assert diagnosis.unexplained == ""


@pytest.mark.slow
def test_a_wrong_gradient_is_no_refused_backward_pass(diagnose_attention):
    def attend(query, key, value, keep_mask, *, dropout_p, training):
        turned = query * 3 - (query * 2).detach()
        scores = turned @ key.mT / query.shape[-1] ** 0.5
        weights = scores.masked_fill(~keep_mask, torch.finfo(query.dtype).min).softmax(-1)
        return F.dropout(weights, dropout_p, training) @ value, weights

    diagnosis = diagnose_attention(attend)
    assert diagnosis.slugs == ()
    assert "the gradient of query is off by up to" in diagnosis.message
    assert "it is 3 times as large as it should be" in diagnosis.message


@pytest.mark.slow
def test_unwritten_memory_is_no_memory_of_earlier_calls(diagnose_attention):
    def attend(query, key, value, keep_mask, *, dropout_p, training):
        # What torch.empty brings differs from machine to machine.
        scores = query @ key.mT / query.shape[-1] ** 0.5 + torch.randn(key.shape[-2])
        weights = scores.masked_fill(~keep_mask, torch.finfo(query.dtype).min).softmax(-1)
        return F.dropout(weights, dropout_p, training) @ value, weights

    assert diagnose_attention(attend, source="s = torch.empty(3).baddbmm(q, k)").slugs == ("uninit-empty",)
    drawn = diagnose_attention(attend, source="def f(q):\n    return q + torch.randn(3)")
    assert drawn.slugs == ("random-numbers",)
    assert "two equal calls outside of training give different answers" in drawn.message


def test_a_mistake_that_does_not_use_an_input_is_refuted_by_its_gradient(diagnose_attention):
    def attend(query, key, value, keep_mask, **_):
        scores = 1e-4 * torch.tanh(query @ key.mT)
        weights = scores.masked_fill(~keep_mask, torch.finfo(query.dtype).min).softmax(-1)
        return weights @ value, weights

    assert "no-query-key" not in diagnose_attention(attend).slugs


@pytest.mark.parametrize(
    ("source", "slugs", "also"),
    [
        ("keep = pad[:, None, :, None] & causal", ("pad-wrong-axis",), ()),
        ("keep = causal", ("pad-ignored",), ("pad-wrong-axis",)),
    ],
)
def test_the_source_decides_on_which_axis_the_padding_is(source, slugs, also, diagnose_attention):
    diagnosis = diagnose_attention(find_misconception("pad-ignored").attention, source=source)
    assert diagnosis.slugs == slugs
    assert diagnosis.look_alikes == also


def test_the_source_decides_in_pairs_too(diagnose_attention):
    tiny, unscaled = (find_misconception(slug) for slug in ("mask-fill-tiny", "no-scale"))
    both = tiny.changes[0].combine(unscaled.changes[0])
    diagnosis = diagnose_attention(both.pipeline(), source="s = s.masked_fill(mask == 0, -1e-9)")
    assert diagnosis.slugs == ("no-scale", "mask-fill-tiny")
    assert diagnosis.look_alikes == ()


def test_an_odd_fill_is_read_off_the_weights(diagnose_attention):
    def fill(scores, inputs):
        return scores.masked_fill(~inputs.keep_mask, -7.5)

    diagnosis = diagnose_attention(StageOverride({"mask": fill}).pipeline())
    assert diagnosis.slugs == ("mask-fill-small",)
    assert "a fill of -7.5" in diagnosis.message


@pytest.mark.parametrize("dropped", ["weights", "output", "scores"])
def test_dropout_in_the_wrong_place(dropped, diagnose_attention):
    def attention(query, key, value, keep_mask=None, *, dropout_p=0.0, training=False):
        scores = (query @ key.mT / query.shape[-1] ** 0.5).masked_fill(~keep_mask, -1e9)
        scores = F.dropout(scores, dropout_p, training) if dropped == "scores" else scores
        weights = scores.softmax(-1)
        used = F.dropout(weights, dropout_p, training) if dropped == "weights" else weights
        output = used @ value
        return F.dropout(output, dropout_p, training) if dropped == "output" else output, weights

    diagnosis = diagnose_attention(attention)
    expected = {"weights": None, "output": ("dropout-on-output",), "scores": ("dropout-before-softmax",)}[dropped]
    assert (None if diagnosis is None else diagnosis.slugs) == expected


def test_a_submission_that_masks_by_itself_is_not_blamed_for_padding(probes, yardsticks):
    def attention(query, key, value, keep_mask=None, **_):
        query_len, key_len = query.shape[-2], key.shape[-2]
        keep = torch.ones(query_len, key_len).tril(key_len - query_len).bool()
        weights = (query @ key.mT / query.shape[-1]).masked_fill(~keep, -1e9).softmax(-1)
        return weights @ value, weights

    names = ("basic", "single", "square", "narrow", "decode", "bfloat16", "basic-again")
    diagnosis = diagnose({name: run_probe(attention, probes[name]) for name in names}, probes, mask_convention="none")
    assert diagnosis.slugs == ("scale-dk",)


def test_hint_levels(diagnose_attention):
    attention = find_misconception("scale-dk").attention
    known = find_misconception("scale-dk")
    assert diagnose_attention(attention, hints="none") is None
    nudge, explain, fix = (diagnose_attention(attention, hints=level) for level in ("nudge", "explain", "fix"))
    assert (nudge.slugs, nudge.look_alikes, nudge.hint) == ((), (), known.hints.nudge)
    assert "the scaling of the scores" in nudge.message
    assert known.title not in nudge.message
    assert explain.hint == known.explanation
    assert explain.message == fix.message
    assert "math.sqrt(head_dim)" not in explain.hint
    assert fix.hint.startswith("Divide by math.sqrt(query.size(-1))")


@pytest.mark.parametrize(
    ("failure", "slug"),
    [
        (Failure(name="import-error", message="SyntaxError: invalid syntax", where="a.py:6"), "syntax-error"),
        (Failure(name="raised", message="NameError: name 'F' is not defined", where="a.py:9"), "undefined-name"),
        (Failure(name="malformed-reply", message="the function returned None (is there …?)"), "no-return"),
        (Failure(name="import-error", message="AssertionError: Torch not compiled with CUDA enabled"), "cuda-hard"),
    ],
)
def test_code_that_never_answers(failure, slug):
    diagnosis = diagnose_failure(failure)
    assert diagnosis.slugs == (slug,)
    assert diagnosis.message.startswith("Your code ")
    if failure.where:
        assert failure.where in diagnosis.message
    assert diagnose_failure(failure, hints="none") is None


def test_a_failure_of_no_known_kind_gets_no_name():
    assert diagnose_failure(Failure(name="timeout", message="no answer within 10 s")) is None


def test_answers_may_be_missing(probes):
    failure = Failure(name="timeout", message="no answer within 10 s")
    diagnosis = diagnose({"basic": ProbeResult("basic", failure=failure)}, probes)
    assert diagnosis.slugs == ()
    assert "no answer on every probe, first with three examples of 10 tokens" in diagnosis.message
    assert "no answer within 10 s" in diagnosis.message
    assert diagnose({}, probes) is None


shapes = st.lists(st.integers(1, 5), min_size=1, max_size=5).map(tuple)


@settings(max_examples=10, deadline=None)
@given(output=shapes, weights=shapes, special=st.sampled_from([0.0, 1.0, float("nan"), float("inf"), -float("inf")]))
def test_nothing_a_student_returns_breaks_the_diagnosis(output, weights, special):
    probes = {probe.name: probe for probe in diagnosis_probes(1, Capabilities(takes_dropout=True))}
    names = ("basic", "decode", "basic-again", "basic-train", "basic-train-again")
    attempts = {
        name: ProbeResult(
            name,
            attn_output=torch.full(output, special),
            attn_weights=torch.full(weights, special),
            weights_returned=True,
            output_requires_grad=False,
            gradients=dict.fromkeys(INPUT_NAMES) if probes[name].upstream is not None else {},
        )
        for name in names
    }
    diagnosis = diagnose(attempts, probes)
    assert diagnosis is not None
    assert diagnosis.message


@pytest.mark.slow
def test_answers_of_the_right_shape_may_be_anything_too(probes):
    for special in (0.0, float("nan"), float("inf")):
        right = run_probe(StagedAttention(), probes["basic"])
        record = replace(right, attn_output=torch.full_like(right.attn_output, special))
        assert diagnose({"basic": record}, probes) is not None
