"""A submission that is right as it is called usually, and wrong in another way to call it."""

from __future__ import annotations

import pytest

from pytest_attn_grader.grading.call_options import CALL_OPTIONS, observe_call_option
from pytest_attn_grader.grading.evidence import NotApplicable
from tests.support.checks import session_over

FUNCTION = """
import torch

def attention(query, key, value, mask=None, dropout_p=0.0, training=False, need_weights=False, is_causal=False,
              scale=None):
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    FIRST
    scores = query @ key.mT * scale
    if is_causal:
        scores = scores.masked_fill(~torch.ones(scores.shape[-2:], dtype=torch.bool).tril(DIAGONAL), float("-inf"))
    if mask is not None and mask.dtype == torch.bool:
        scores = scores.masked_fill(~mask, float("-inf"))
    elif mask is not None:
        scores = scores + mask
    weights = torch.dropout(scores.softmax(-1), dropout_p, training)
    LAST
    return (weights @ value, weights) if need_weights else weights @ value
"""
MODULE = """
import torch
from torch.nn.functional import scaled_dot_product_attention

class Attention(torch.nn.Module):
    def __init__(self, dim, heads, dropout=0.0):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.qkv, self.out = torch.nn.Linear(dim, 3 * dim), torch.nn.Linear(dim, dim)

    def forward(self, x, mask=None, output_attentions=False, causal=False):
        batch, length, dim = x.shape
        query, key, value = self.qkv(x).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        FIRST
        if mask is None:
            mask = torch.ones(length, length, dtype=torch.bool).tril()
        if mask.dtype != torch.bool:
            mask = mask > 0.5
        scores = (query @ key.mT / query.shape[-1] ** 0.5).masked_fill(~mask, float("-inf"))
        weights = torch.dropout(scores.softmax(-1), RATE, self.training)
        output = self.out((weights @ value).transpose(1, 2).reshape(batch, length, dim))
        return (output, weights) if output_attentions else output
"""
FUSED = "return self.out(scaled_dot_product_attention(query, key, value, ARGUMENTS).transpose(1, 2).flatten(2))"


def function(first: str = "pass", last: str = "pass", diagonal: str = "") -> str:
    return FUNCTION.replace("FIRST", first).replace("LAST", last).replace("DIAGONAL", diagonal)


def module(first: str = "pass", rate: str = "self.dropout") -> str:
    return MODULE.replace("FIRST", first).replace("RATE", rate)


OF_MODULES = [option for option in CALL_OPTIONS if option != "scale"]


@pytest.mark.parametrize(
    ("source", "option"),
    [*((function(), option) for option in CALL_OPTIONS), *((module(), option) for option in OF_MODULES)],
)
def test_a_right_one_is_right_in_every_way(workshop, mini, source: str, option: str) -> None:
    observation = observe_call_option(session_over(workshop.student(source), mini), option)
    assert observation.output_error <= observation.tolerance.tolerance["attn_output"]


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("source", "option", "slug", "words"),
    [
        (function("scale = 1.0 if training else scale"), "training", "no-scale", "In training, with dropout 0: your"),
        (
            function("scale = scale if need_weights else 1.0"),
            "without-weights",
            "no-scale",
            "Where its weights are not",
        ),
        (
            function("scale = 1.0 if mask is None else scale"),
            "without-mask",
            "no-scale",
            "Without a mask: your attention",
        ),
        (
            module(f"if self.training: {FUSED.replace('ARGUMENTS', 'is_causal=True, dropout_p=self.dropout')}"),
            "training",
            "pad-ignored",
            "In training",
        ),
        (
            module(f"if not output_attentions: {FUSED.replace('ARGUMENTS', '')}"),
            "without-weights",
            "no-causal-mask",
            "Where its",
        ),
        (
            module("query = query if mask is not None else query * query.shape[-1] ** 0.5"),
            "without-mask",
            "no-scale",
            "Without a mask",
        ),
        (
            function(last="weights = weights if need_weights else 2 * weights"),
            "without-weights",
            None,
            "Where its weights",
        ),
        (function("assert not training"), "training", None, ""),
        (
            function(diagonal="1"),
            "causal-switch",
            "diag-off-loose",
            "Without a mask and with its switch for the future on",
        ),
        (
            function("is_causal = is_causal and mask is not None"),
            "causal-switch",
            "no-causal-mask",
            "Without a mask and with",
        ),
        (
            function(first="if mask is not None and mask.dtype != torch.bool: mask = torch.zeros(())"),
            "other-mask",
            "no-causal-mask",
            "With a mask of another dtype: your",
        ),
    ],
)
def test_a_wrong_way_is_found_and_named(workshop, mini, source: str, option: str, slug: str | None, words: str) -> None:
    session = session_over(workshop.student(source), mini)
    usual = session.run_probe("basic")
    assert usual.output_error <= usual.tolerance.tolerance["attn_output"]
    observation = observe_call_option(session, option)
    if observation.student.failure is None:
        assert observation.output_error > 0.1
    diagnosis = session.diagnose()
    assert diagnosis is not None
    assert (slug in diagnosis.slugs) if slug else not diagnosis.slugs, diagnosis
    assert diagnosis.message.startswith(words)


@pytest.mark.parametrize(
    ("first", "is_right"),
    [
        ("pass", True),
        ("scale = scale if scale == query.shape[-1] ** -0.5 else 1 / scale", True),  # a divisor
        ("scale = query.shape[-1] ** -0.5", False),
        ("scale = scale if scale == query.shape[-1] ** -0.5 else scale / query.shape[-1] ** 0.5", False),
    ],
)
def test_a_scale_that_is_passed_is_used(workshop, mini, first: str, is_right: bool) -> None:
    observation = observe_call_option(session_over(workshop.student(function(first)), mini), "scale")
    assert observation.is_right is is_right


@pytest.mark.parametrize(
    ("source", "option", "reason"),
    [
        ("def attention(query, key, value, mask): return query", "training", "no training mode"),
        ("def attention(query, key, value, mask): return query", "without-weights", "no parameter that asks"),
        ("def attention(query, key, value, mask): return query", "without-mask", "no optional mask"),
        (
            "def attention(query, key, value, mask=None, causal=True): return query",
            "causal-switch",
            "no switch for the future",
        ),
        ("def attention(query, key, value, mask=None): return query", "other-mask", "does not ask for the dtype"),
        (
            "def attention(query, key, value, mask=None): return query if mask.dtype != query.dtype else key",
            "other-mask",
            "does not ask for the dtype",
        ),
        (function("assert mask is None or mask.dtype == torch.bool"), "other-mask", "refuses masks of another dtype"),
        (module(), "scale", "no optional parameter for the scale"),
        (function("mask = mask.bool()"), "without-mask", "without its mask it gives no answer"),
        (module(rate="0.5"), "training", "drops at random"),
    ],
)
def test_a_way_that_there_is_not(workshop, mini, source: str, option: str, reason: str) -> None:
    with pytest.raises(NotApplicable, match=reason):
        observe_call_option(session_over(workshop.student(source), mini), option)
