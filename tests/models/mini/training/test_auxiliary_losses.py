"""Nudges: what is wanted of a head, and how far it is."""

from __future__ import annotations

import math

import pytest
import torch

from pytest_attn_grader.models.mini.training.auxiliary_losses import (
    find_answers,
    find_followers,
    find_subjects,
    nudge_loss,
)


def test_followers_are_the_tokens_after_earlier_occurrences() -> None:
    input_ids = torch.tensor([[7, 8, 9, 7, 8, 7]])
    found = find_followers(input_ids)[0].nonzero().tolist()

    assert found == [[3, 1], [4, 2], [5, 1], [5, 4]]


def test_nudge_loss_counts_only_queries_that_want_something() -> None:
    weights = torch.tensor([[[1.0, 0.0], [0.25, 0.75]]])
    wanted = torch.tensor([[[False, False], [True, False]]])

    assert nudge_loss(weights, wanted).item() == pytest.approx(-math.log(0.25), abs=1e-4)


def test_subjects_are_the_first_content_words_of_their_sentences() -> None:
    end, article, cat, dog = 9, 1, 5, 6
    input_ids = torch.tensor([[article, cat, dog, end, dog, cat, article]])
    found = find_subjects(input_ids, torch.tensor([end]), torch.tensor([cat, dog]))[0]

    assert [row.nonzero().flatten().tolist() for row in found] == [[], [1], [1], [1], [4], [4], [4]]


def test_answers_are_where_the_answer_token_stands() -> None:
    input_ids = torch.tensor([[5, 6, 7, 5, 6, 6]])
    is_answer = torch.tensor([[False, True, False, False, True, False]])

    assert find_answers(input_ids, is_answer)[0].nonzero().tolist() == [[3, 1]]


def test_a_nudge_without_anything_wanted_is_nothing() -> None:
    assert nudge_loss(torch.ones(1, 2, 2), torch.zeros(1, 2, 2, dtype=torch.bool)).item() == 0.0
