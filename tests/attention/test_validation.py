"""What no figure accepts: it raises, and names the value."""

from __future__ import annotations

import math

import pytest
import torch

from pytest_attn_grader.attention import head_scores, metrics
from pytest_attn_grader.attention.validation import validate_distribution
from tests.support.attention_maps import NEEDS_DISTRIBUTIONS, OF_ONE_MAP, PAIRWISE, random_map


@pytest.mark.parametrize("figure", NEEDS_DISTRIBUTIONS)
def test_rows_that_do_not_sum_to_one_are_refused_with_the_largest_error(figure):
    weights = random_map(8).clone()
    weights[1, 2] *= 1.25
    maps = (weights,) if figure in OF_ONE_MAP else (weights, random_map(9))
    with pytest.raises(ValueError, match=r"do not sum to one: the largest row-sum error is 0\.25\b.*normalised_rows"):
        figure(*maps)
    normalised = metrics.normalised_rows(weights)
    torch.testing.assert_close(figure(normalised, *maps[1:]), figure(random_map(8), *maps[1:]), atol=1e-12, rtol=0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("figure", [*PAIRWISE, *OF_ONE_MAP, metrics.row_sum_error, head_scores.previous_token_score])
def test_a_number_that_is_none_is_named(figure, bad):
    weights = random_map(14).clone()
    weights[2, 1, 3] = bad
    maps = (weights, random_map(15)) if figure in PAIRWISE else (weights,)
    with pytest.raises(
        ValueError, match=rf"must be finite: 1 of 108 values are not, the first is {bad} at \[2, 1, 3\]"
    ):
        figure(*maps)


def test_a_negative_weight_is_named():
    weights = random_map(16).clone()
    weights[0, 0, 0] -= 0.5
    weights[0, 0, 1] += 0.5
    smallest = f"{weights.min().item():.6g}"
    with pytest.raises(ValueError, match=f"student weights must not be negative: the smallest value is {smallest}"):
        metrics.total_variation(weights, random_map(17))


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"weights differ in shape: \(3, 6, 6\) and \(2, 6, 6\)"):
        metrics.cosine_similarity(random_map(1), random_map(2, num_heads=2))
    with pytest.raises(ValueError, match=r"square map of one sequence, got \(3, 6, 5\)"):
        head_scores.previous_token_score(random_map(1, key_len=5))
    with pytest.raises(ValueError, match=r"input_ids must have shape \(6,\).*got \(4,\)"):
        head_scores.induction_score(random_map(1), torch.arange(4))
    with pytest.raises(ValueError, match=r"match_heads wants \(num_heads, query_len, key_len\), got \(6, 6\)"):
        head_scores.match_heads(random_map(1)[0], random_map(1)[0])


def test_a_distribution_is_returned_without_its_rounding():
    rounded = random_map(8).to(torch.float16)
    rows = validate_distribution(rounded, "weights")
    assert rows.dtype == torch.float64
    torch.testing.assert_close(rows.sum(-1), torch.ones(3, 6, dtype=torch.float64), atol=1e-12, rtol=0)
