"""Head scores against loops."""

from __future__ import annotations

import pytest
import torch

from pytest_attn_grader.models.mini.training.heads import HeadScore, best_head, induction_scores, previous_token_scores

PERIOD = 4


@pytest.fixture
def attn_weights() -> torch.Tensor:
    scores = torch.randn(3, 2, 10, 10, generator=torch.Generator().manual_seed(0))
    return scores.masked_fill(torch.ones(10, 10, dtype=torch.bool).triu(1), -torch.inf).softmax(-1)


def test_previous_token_scores_equal_a_loop(attn_weights: torch.Tensor) -> None:
    for head in range(2):
        weights = [attn_weights[row, head, t, t - 1].item() for row in range(3) for t in range(1, 10)]
        assert previous_token_scores(attn_weights)[head].item() == pytest.approx(sum(weights) / len(weights))


def test_induction_scores_equal_a_loop(attn_weights: torch.Tensor) -> None:
    scores = induction_scores(attn_weights, period=PERIOD)
    for head in range(2):
        weights = [attn_weights[row, head, t, t - PERIOD + 1].item() for row in range(3) for t in range(PERIOD, 10)]
        assert scores[head].item() == pytest.approx(sum(weights) / len(weights))


def test_a_perfect_previous_token_head_scores_one() -> None:
    attn_weights = torch.eye(6).roll(-1, dims=1).expand(2, 1, 6, 6)

    assert previous_token_scores(attn_weights).tolist() == [1.0]


def test_a_perfect_induction_head_scores_one() -> None:
    attn_weights = torch.zeros(1, 1, 10, 10)
    for t in range(PERIOD, 10):
        attn_weights[:, :, t, t - PERIOD + 1] = 1.0

    assert induction_scores(attn_weights, period=PERIOD).tolist() == [1.0]


def test_best_head_says_where_it_is() -> None:
    assert best_head([torch.tensor([0.1, 0.2]), torch.tensor([0.75, 0.3])]) == HeadScore(1, 0, 0.75)
