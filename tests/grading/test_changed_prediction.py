from __future__ import annotations

import pytest
import torch

from pytest_attn_grader.grading.changed_prediction import MIN_CONTEXT_TOKENS, find_changed_prediction, top_tokens

WORDS = ["a", "b", "c", "d"]


class Words:
    """A tokenizer of four words."""

    def decode(self, ids: torch.Tensor | list[int]) -> str:
        return " ".join(WORDS[int(token_id)] for token_id in ids)


def logits(*best: int, sure: float = 5.0) -> torch.Tensor:
    """One row a position, which prefers one token."""
    made = torch.zeros(len(best), len(WORDS))
    made[torch.arange(len(best)), torch.tensor(best)] = sure
    return made


TEXT = torch.tensor([0, 1, 2, 3, 0, 1, 2])
RIGHT = logits(1, 2, 3, 0, 1, 2, 0)


def test_the_clearest_change_with_enough_context() -> None:
    reference = RIGHT.clone()
    reference[5, 2] = 9.0
    found = find_changed_prediction(Words(), TEXT, logits(0, 0, 0, 3, 1, 3, 0), reference)
    assert found is not None
    assert (found.position, found.context, found.next_token) == (5, "a b c d a b", "c")
    assert (found.reference[0].token, found.student[0].token) == ("c", "d")


@pytest.mark.parametrize(
    "student",
    [
        pytest.param(RIGHT, id="the same predictions"),
        pytest.param(torch.cat([logits(0, 0, 0), RIGHT[3:]]), id="only where there is little context"),
        pytest.param(torch.full_like(RIGHT, torch.nan), id="no predictions"),
    ],
)
def test_there_is_none(student: torch.Tensor) -> None:
    assert MIN_CONTEXT_TOKENS == 4
    assert find_changed_prediction(Words(), TEXT, student, RIGHT) is None


def test_a_wrong_prediction_of_the_reference_is_no_example() -> None:
    reference = logits(1, 2, 3, 3, 3, 3, 0)
    assert find_changed_prediction(Words(), TEXT, logits(1, 2, 3, 0, 1, 2, 0), reference) is None


def test_top_tokens_are_sorted() -> None:
    found = top_tokens(Words(), torch.tensor([0.0, 2.0, 1.0, -1.0]), 3)
    assert [each.token for each in found] == ["b", "c", "a"]
    assert len(top_tokens(Words(), torch.zeros(4), 10)) == 4
