from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from pytest_attn_grader.attention.probes import Probe
from pytest_attn_grader.misconceptions import MISCONCEPTIONS, Misconception
from pytest_attn_grader.misconceptions.matching import run_probe
from pytest_attn_grader.misconceptions.rough_match import RoughMatcher
from pytest_attn_grader.misconceptions.stages import StagedAttention, StageOverride


def output_of(attention: StagedAttention, probe: Probe) -> Tensor:
    output = run_probe(attention, probe).attn_output
    assert output is not None
    return output


@pytest.fixture
def basic(probes: dict[str, Probe]) -> Probe:
    return replace(probes["basic"], upstream=None)


@pytest.mark.parametrize(
    "known", [each for each in MISCONCEPTIONS if each.by_numbers and each.counted], ids=lambda each: each.slug
)
def test_an_attention_matches_its_own_output_before_and_after_others(known: Misconception, basic: Probe) -> None:
    """What one candidate leaves in the cache, or writes into it, changes nothing for the next one."""
    record = run_probe(known.attention, basic)
    matcher = RoughMatcher(record.attn_output, basic)
    has_right_shape = record.attn_output is not None and record.attn_output.shape == basic.query.shape
    assert matcher.is_match(known.attention) is has_right_shape
    for other in MISCONCEPTIONS:
        if other.family == known.family:
            matcher.is_match(other.attention)
    assert matcher.is_match(known.attention) is has_right_shape


@pytest.mark.parametrize("change", [2e-3, float("nan"), float("inf")])
def test_one_number_is_enough_to_differ(change: float, basic: Probe, right: StagedAttention) -> None:
    output = output_of(right, basic)
    output[0, 0, 0, 0] = output[0, 0, 0, 0].clamp(-1, 1) + change
    assert not RoughMatcher(output, basic).is_match(right)


def test_padded_rows_are_not_judged(basic: Probe, right: StagedAttention) -> None:
    output = output_of(right, basic)
    output[~basic.real_rows[:, None, :, None].expand_as(output)] = float("nan")
    assert RoughMatcher(output, basic).is_match(right)


def test_what_is_finite_on_one_side_only_differs(basic: Probe, right: StagedAttention) -> None:
    nan = StageOverride({"combine": lambda weights, inputs: inputs.query * float("nan")}).pipeline()
    assert not RoughMatcher(output_of(right, basic), basic).is_match(nan)
    assert RoughMatcher(torch.full_like(basic.query, float("nan")), basic).is_match(nan)


@pytest.mark.parametrize("output", [None, torch.zeros(3, 5, 10, 63)])
def test_nothing_matches_no_output(output: Tensor | None, basic: Probe, right: StagedAttention) -> None:
    assert not RoughMatcher(output, basic).is_match(right)


def test_a_candidate_that_raises_does_not_match(basic: Probe, right: StagedAttention) -> None:
    def fail(*_: object) -> Tensor:
        raise RuntimeError("no")

    assert not RoughMatcher(output_of(right, basic), basic).is_match(StageOverride({"combine": fail}).pipeline())
