"""Mistakes in the window of a layer that has one: each is named in two styles, and what looks like one is not."""

from __future__ import annotations

import pytest

from pytest_attn_grader.attention.probes import Capabilities, diagnosis_probes
from pytest_attn_grader.misconceptions.diagnose import diagnose
from pytest_attn_grader.misconceptions.mismatches import PredictionCache
from pytest_attn_grader.models.architectures import LayerSteps
from pytest_attn_grader.results.report import Diagnosis
from pytest_attn_grader.submission.adapt import fit
from tests.support.students import Workshop

SEED = 3
WINDOW = 4
PREDICTIONS = PredictionCache()

MODULE = """
import math, torch
from torch import nn

class Attention(nn.Module):
    def __init__(self, d_model, num_heads, sliding_window=1024):
        super().__init__()
        self.h, self.d, self.window = num_heads, d_model // num_heads, sliding_window
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, x):
        b, t, _ = x.shape
        q, k, v = (p(x).view(b, t, self.h, self.d).transpose(1, 2) for p in (self.q_proj, self.k_proj, self.v_proj))
        i, j, w = torch.arange(t)[:, None], torch.arange(t), self.window
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.d)
        scores = scores.masked_fill(~(KEEP), float("-inf"))
        return self.o_proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, t, -1))
"""
FUNCTION = """
import torch

ATTN_MASK = "none"

def attention(query, key, value):
    scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
    t, s = scores.shape[-2:]
    w = WINDOW
    i, j = torch.arange(s - t, s)[:, None], torch.arange(s)
    scores = scores.masked_fill(~(KEEP), float("-inf"))
    return scores.softmax(-1) @ value
"""


def module(keep: str) -> str:
    return MODULE.replace("KEEP", keep)


def function(keep: str) -> str:
    return FUNCTION.replace("KEEP", keep).replace("WINDOW", str(WINDOW))


WRONG = {
    ("window-off-by-one", "less or equal"): module("(j <= i) & (i - j <= w)"),
    ("window-off-by-one", "one less, triangles"): module("torch.ones(t, t).tril().triu(2 - w).bool()"),
    ("window-off-by-one", "of a function"): function("(j <= i) & (j >= i - w)"),
    ("window-ignored", "causal"): module("j <= i"),
    ("window-ignored", "far too large"): module("(j <= i) & (i - j < 1024)"),
    ("window-ignored", "of a function"): function("torch.ones(t, s).tril(s - t).bool()"),
    ("window-size", "half"): module("(j <= i) & (i - j < w // 2)"),
    ("window-size", "typed in"): module("torch.ones(t, t).tril().triu(-8).bool()"),
    ("window-both-sides", "absolute distance"): module("(i - j).abs() < w"),
    ("window-both-sides", "no triangle"): module("i - j < w"),
    ("window-both-sides", "centred"): function("(i - j).abs() <= w // 2"),
    ("diag-off-loose", "beside the window"): module("(j <= i + 1) & (i - j < w)"),
    ("no-causal-mask", "nor a window"): module("torch.ones(t, t).bool()"),
}
# Each looks like one of the mistakes, and is right.
NEAR_MISSES = {
    "distance at most one less": module("(j <= i) & (i - j <= w - 1)"),
    "triangles": module("torch.ones(t, t).tril().triu(1 - w).bool()"),
    "strictly after the last that is too old": module("(j <= i) & (j > i - w)"),
    "a function": function("(j <= i) & (i - j < w)"),
    "two sided, then causal": module("((i - j).abs() < w) & (j <= i)"),
}


def diagnosis_of(workshop: Workshop, source: str, window: int | None = WINDOW) -> Diagnosis | None:
    student = workshop.student(source)
    attention = fit(student, student.contract, seed=SEED, steps=LayerSteps(rotary_base=None, sliding_window=window))
    convention = student.contract.mask_convention
    capabilities = Capabilities(max_len=64, takes_mask=convention != "none", sliding_window=window)
    probes = {
        probe.name: probe
        for probe in diagnosis_probes(SEED, capabilities)
        if attention.unsupported_reason(probe) is None and "16" not in probe.name
    }
    attempts = {name: attention.run_probe(probe) for name, probe in probes.items()}
    return diagnose(attempts, probes, mask_convention=convention, predictions=PREDICTIONS, source=source)


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("slug", "style"), WRONG)
def test_the_mistake_is_named(workshop: Workshop, slug: str, style: str) -> None:
    diagnosis = diagnosis_of(workshop, WRONG[slug, style])

    assert diagnosis is not None
    assert diagnosis.slugs == (slug,) or slug in diagnosis.look_alikes, diagnosis.message


@pytest.mark.parametrize("name", NEAR_MISSES)
def test_what_only_looks_like_a_mistake_gets_none(workshop: Workshop, name: str) -> None:
    assert diagnosis_of(workshop, NEAR_MISSES[name]) is None


def test_the_size_is_said(workshop: Workshop) -> None:
    diagnosis = diagnosis_of(workshop, WRONG["window-size", "typed in"])

    assert diagnosis is not None
    assert "the last 9 keys" in diagnosis.message


def test_without_a_window_in_the_layer_a_window_is_the_mistake(workshop: Workshop) -> None:
    diagnosis = diagnosis_of(workshop, module("(j <= i) & (i - j < 4)"), window=None)

    assert diagnosis is not None
    assert diagnosis.slugs == ("sliding-window",)
