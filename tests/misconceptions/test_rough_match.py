from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest
import torch
from torch import Tensor

from pytest_attn_grader.attention.probes import Probe, real_rows
from pytest_attn_grader.misconceptions import MISCONCEPTIONS, Misconception
from pytest_attn_grader.misconceptions.hypotheses import Hypothesis
from pytest_attn_grader.misconceptions.matching import run_probe
from pytest_attn_grader.misconceptions.rough_match import RoughMatcher
from pytest_attn_grader.misconceptions.stages import Inputs, StagedAttention, StageOverride


def output_of(attention: StagedAttention, probe: Probe) -> Tensor:
    output = run_probe(attention, probe).attn_output
    assert output is not None
    return output


@pytest.fixture
def basic(probes: dict[str, Probe]) -> Probe:
    return replace(probes["basic"], upstream=None)


def is_match(matcher: RoughMatcher, *changes: StageOverride) -> bool:
    combined = StageOverride()
    for change in changes:
        both = combined.combine(change)
        assert both is not None
        combined = both
    return bool([*matcher.matching([Hypothesis((), combined)])])


@pytest.mark.parametrize(
    "known", [each for each in MISCONCEPTIONS if each.by_numbers and each.counted], ids=lambda each: each.slug
)
def test_an_attention_matches_its_own_output_before_and_after_others(known: Misconception, basic: Probe) -> None:
    """What one candidate leaves in the cache, or writes into it, changes nothing for the next one."""
    record = run_probe(known.attention, basic)
    matcher = RoughMatcher(record.attn_output, basic)
    has_right_shape = record.attn_output is not None and record.attn_output.shape == basic.query.shape
    assert is_match(matcher, known.changes[0]) is has_right_shape
    family = [other for other in MISCONCEPTIONS if other.family == known.family and other.by_numbers]
    [*matcher.matching(Hypothesis((other,), change) for other in family for change in other.changes)]
    assert is_match(matcher, known.changes[0]) is has_right_shape


def test_many_at_once_are_those_that_match_alone(basic: Probe) -> None:
    """Pairs are found whatever is computed together with them, and as the whole attention would answer."""
    usual = [Hypothesis((known,), known.changes[0]) for known in MISCONCEPTIONS if known.by_numbers and known.counted]
    pairs = [pair for one, other in combinations(usual[::4], 2) for pair in one.combine(other)]
    assert len(pairs) > 500
    for wanted in pairs[::97]:
        output = run_probe(wanted.pipeline, basic).attn_output
        if output is None or output.shape != basic.query.shape:
            continue
        found = [*RoughMatcher(output, basic).matching(pairs)]
        assert wanted in found
        for other in found:
            same = run_probe(other.pipeline, basic).attn_output
            assert same is not None
            rows = [real_rows(tensor, basic) for tensor in (same, output)]
            torch.testing.assert_close(*rows, rtol=1e-2, atol=1e-2, equal_nan=True)  # of which an eighth is compared


def test_a_stage_that_writes_into_its_inputs_changes_no_other(basic: Probe, right: StagedAttention) -> None:
    def write(scores: Tensor, inputs: Inputs) -> Tensor:
        inputs.value.zero_()
        inputs.keep_mask.fill_(True)
        return scores.mul_(2)

    matcher = RoughMatcher(output_of(right, basic), basic)
    for _ in range(2):
        assert not is_match(matcher, StageOverride({"scale": write}))
        assert not is_match(matcher, StageOverride({"scale": write}), StageOverride({"normalise": lambda x, _: x}))
        assert is_match(matcher, StageOverride({"scale": lambda scores, inputs: scores / inputs.root}))
        assert is_match(matcher)


@pytest.mark.parametrize("change", [2e-3, float("nan"), float("inf")])
def test_one_number_is_enough_to_differ(change: float, basic: Probe, right: StagedAttention) -> None:
    output = output_of(right, basic)
    output[0, 0, 0, 0] = output[0, 0, 0, 0].clamp(-1, 1) + change
    assert not is_match(RoughMatcher(output, basic))


def test_padded_rows_are_not_judged(basic: Probe, right: StagedAttention) -> None:
    output = output_of(right, basic)
    output[~basic.real_rows[:, None, :, None].expand_as(output)] = float("nan")
    assert is_match(RoughMatcher(output, basic))


def test_what_is_finite_on_one_side_only_differs(basic: Probe, right: StagedAttention) -> None:
    nan = StageOverride({"combine": lambda weights, inputs: inputs.query * float("nan")})
    assert not is_match(RoughMatcher(output_of(right, basic), basic), nan)
    assert is_match(RoughMatcher(torch.full_like(basic.query, float("nan")), basic), nan)


@pytest.mark.parametrize("output", [None, torch.zeros(3, 5, 10, 63)])
def test_nothing_matches_no_output(output: Tensor | None, basic: Probe) -> None:
    assert not is_match(RoughMatcher(output, basic))


def test_a_candidate_that_raises_does_not_match(basic: Probe, right: StagedAttention) -> None:
    def fail(*_: object) -> Tensor:
        raise RuntimeError("no")

    assert not is_match(RoughMatcher(output_of(right, basic), basic), StageOverride({"combine": fail}))
