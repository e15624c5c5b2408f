"""The card's figures against the shipped weights, measured again.

The margins allow for what differs between machines (the order of float additions), nothing more: a share may differ by
a few of the 600 prompts, a loss by a hundredth.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import torch

from pytest_attn_grader.models.mini import get_folder, load_mini
from pytest_attn_grader.models.mini.training.benchmarks import MEASUREMENTS, Figure, load_figures
from pytest_attn_grader.models.mini.training.curriculum import RECIPES
from pytest_attn_grader.models.mini.training.measure import (
    LOSS_ROWS,
    PROMPTS_PER_KIND,
    TRIGRAM_DOCUMENTS,
    Questions,
    best_head,
    induction_scores,
    measure_accuracies,
    measure_heads,
    measure_layers,
    measure_losses,
    measure_mistakes,
    read_held_out_rows,
    read_questions,
    train_trigram,
)
from pytest_attn_grader.models.mini.training.model_card import CARD_FILE, render_card
from pytest_attn_grader.models.mini.training.text import PROMPT_KINDS
from pytest_attn_grader.models.types import EMBEDDED_MODELS

if TYPE_CHECKING:
    from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

    from pytest_attn_grader.models.mini.model import MiniModel

MARGIN = 0.02
PERIOD = 4
ROWS_MEASURED_AGAIN = 16


@pytest.fixture(scope="module", params=EMBEDDED_MODELS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def shipped(name: str) -> tuple[MiniModel, PreTrainedTokenizerFast]:
    return load_mini(name)


@pytest.fixture(scope="module")
def figures(name: str) -> dict[str, Figure]:
    return load_figures(MEASUREMENTS / name)


@pytest.fixture(scope="module")
def card(name: str) -> str:
    return (get_folder(name) / CARD_FILE).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def questions(shipped: tuple[MiniModel, PreTrainedTokenizerFast]) -> dict[str, Questions]:
    return read_questions(shipped[1], PROMPTS_PER_KIND)


def test_every_bar_is_met_or_the_card_says_why(figures: dict[str, Figure], card: str) -> None:
    missed = [figure.name for figure in figures.values() if not figure.is_met]

    assert [name for name in missed if f"**{name}**" not in card] == []


def test_the_card_is_made_of_the_recipe_and_the_figures(name: str, card: str) -> None:
    assert card == render_card(RECIPES[name], MEASUREMENTS / name, trigram_documents=TRIGRAM_DOCUMENTS)


def test_accuracies(model: MiniModel, questions: dict[str, Questions], figures: dict[str, Figure]) -> None:
    for kind, accuracy in measure_accuracies(model, questions).items():
        assert accuracy == pytest.approx(figures[f"{kind} right"].value, abs=MARGIN)


@pytest.mark.slow
def test_mistakes(model: MiniModel, questions: dict[str, Questions], figures: dict[str, Figure]) -> None:
    for figure in measure_mistakes(model, questions):
        assert figure.value == pytest.approx(figures[figure.name].value, abs=MARGIN)


def test_heads(model: MiniModel, tokenizer: PreTrainedTokenizerFast, figures: dict[str, Figure]) -> None:
    for figure in measure_heads(model, read_held_out_rows(tokenizer, ROWS_MEASURED_AGAIN)):
        assert figure.value == pytest.approx(figures[figure.name].value, abs=MARGIN)
        assert figure.note == figures[figure.name].note


@pytest.mark.slow
def test_broken_layers_on_fewer_rows_raise_the_loss_by_what_they_must(
    model: MiniModel, tokenizer: PreTrainedTokenizerFast, questions: dict[str, Questions]
) -> None:
    for figure in measure_layers(model, questions, read_held_out_rows(tokenizer, ROWS_MEASURED_AGAIN)):
        assert figure.is_met, figure


@pytest.mark.slow
def test_losses_and_broken_layers_in_full(
    model: MiniModel,
    tokenizer: PreTrainedTokenizerFast,
    questions: dict[str, Questions],
    figures: dict[str, Figure],
) -> None:
    rows = read_held_out_rows(tokenizer, LOSS_ROWS)
    measured = [
        *measure_losses(model, tokenizer, train_trigram(tokenizer)),
        *measure_layers(model, questions, rows),
    ]
    for figure in measured:
        assert figure.value == pytest.approx(figures[figure.name].value, abs=MARGIN)


def test_held_out_rows_are_the_same_again_and_of_the_kind_asked_for(tokenizer: PreTrainedTokenizerFast) -> None:
    rows = read_held_out_rows(tokenizer, 2)
    strings = read_held_out_rows(tokenizer, 2, kind="repeated string")

    assert torch.equal(rows, read_held_out_rows(tokenizer, 2))
    assert re.match(r"(Say|Words|A song|They sang):", tokenizer.decode(strings[0]))


def test_questions_are_of_every_kind(questions: dict[str, Questions]) -> None:
    assert list(questions) == list(PROMPT_KINDS)
    assert {len(one.prompts) for one in questions.values()} == {PROMPTS_PER_KIND}


@pytest.fixture
def attn_weights() -> torch.Tensor:
    scores = torch.randn(3, 2, 10, 10, generator=torch.Generator().manual_seed(0))
    return scores.masked_fill(torch.ones(10, 10, dtype=torch.bool).triu(1), -torch.inf).softmax(-1)


def test_induction_scores_equal_a_loop(attn_weights: torch.Tensor) -> None:
    scores = induction_scores(attn_weights, period=PERIOD)
    for head in range(2):
        weights = [attn_weights[row, head, t, t - PERIOD + 1].item() for row in range(3) for t in range(PERIOD, 10)]
        assert scores[head].item() == pytest.approx(sum(weights) / len(weights))


def test_a_perfect_induction_head_scores_one() -> None:
    attn_weights = torch.zeros(1, 1, 10, 10)
    for t in range(PERIOD, 10):
        attn_weights[:, :, t, t - PERIOD + 1] = 1.0

    assert induction_scores(attn_weights, period=PERIOD).tolist() == [1.0]


def test_best_head_says_where_it_is() -> None:
    assert best_head([torch.tensor([0.1, 0.2]), torch.tensor([0.75, 0.3])]) == (1, 0, 0.75)
