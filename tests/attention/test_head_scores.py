"""Scores of heads, against loops over positions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_attn_grader.attention import head_scores
from tests.support.attention_maps import random_map


def test_scores_agree_with_loops_over_positions():
    input_ids = torch.tensor([1, 2, 3, 1, 1, 2, 4])
    weights = random_map(5, query_len=7, key_len=7, causal=True)

    def mean_over(targets_of):
        rows = {i: targets_of(i) for i in range(7) if targets_of(i)}
        return [np.mean([sum(float(head[i, j]) for j in targets) for i, targets in rows.items()]) for head in weights]

    tokens = input_ids.tolist()
    expected = {
        head_scores.previous_token_score(weights): mean_over(lambda i: [i - 1] if i else []),
        head_scores.first_token_score(weights): mean_over(lambda i: [0] if i else []),
        head_scores.duplicate_token_score(weights, input_ids): mean_over(
            lambda i: [j for j in range(i) if tokens[j] == tokens[i]]
        ),
        head_scores.induction_score(weights, input_ids): mean_over(
            lambda i: [j + 1 for j in range(i) if tokens[j] == tokens[i] and j + 1 < i]
        ),
    }
    for score, loops in expected.items():
        assert score.tolist() == pytest.approx(loops, abs=1e-12)


def test_each_kind_of_head_scores_one_on_its_own_score_only():
    input_ids = torch.tensor([5, 6, 7, 5, 6, 7])
    looks_at = {
        "previous": [0, 0, 1, 2, 3, 4],
        "first": [0] * 6,
        "duplicate": [0, 1, 2, 0, 1, 2],
        "induction": [0, 1, 2, 1, 2, 3],
    }
    heads = {name: torch.eye(6)[targets][None] for name, targets in looks_at.items()}

    def scores(weights):
        return {
            "previous": head_scores.previous_token_score(weights).item(),
            "first": head_scores.first_token_score(weights).item(),
            "duplicate": head_scores.duplicate_token_score(weights, input_ids).item(),
            "induction": head_scores.induction_score(weights, input_ids).item(),
        }

    for name, weights in heads.items():
        found = scores(weights)
        assert found.pop(name) == pytest.approx(1.0)
        assert max(found.values()) < 0.5


def test_a_text_that_cannot_show_a_relation_gives_nan_not_zero():
    weights = random_map(6, query_len=3, key_len=3)
    no_repeats = torch.tensor([1, 2, 3])
    assert head_scores.duplicate_token_score(weights, no_repeats).isnan().all()
    assert head_scores.induction_score(weights, no_repeats).isnan().all()
    assert head_scores.previous_token_score(torch.ones(2, 1, 1)).isnan().all()


@given(st.permutations(range(5)), st.integers(0, 1000))
@settings(max_examples=50, deadline=None)
def test_permuted_heads_are_found(order, seed):
    reference = random_map(seed, num_heads=5)
    student = reference[list(order)]
    student_heads, distances = head_scores.match_heads(student, reference)
    assert torch.equal(student[student_heads], reference)
    torch.testing.assert_close(distances, torch.zeros(5, dtype=torch.float64), atol=1e-12, rtol=0)
