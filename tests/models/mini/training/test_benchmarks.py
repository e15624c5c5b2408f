"""Figures: their bars, their table, their file."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_attn_grader.models.mini.training.benchmarks import Figure, load_figures, render_table, write_figures


@pytest.mark.parametrize(
    ("figure", "expected"),
    [
        (Figure("loss", 3.0), True),
        (Figure("right", 0.9, at_least=0.9), True),
        (Figure("right", 0.89, at_least=0.9), False),
        (Figure("broken", 0.3, at_most=0.3), True),
        (Figure("broken", 0.31, at_most=0.3), False),
    ],
)
def test_a_bar_is_met_or_not(figure: Figure, expected: bool) -> None:
    assert figure.is_met is expected


def test_the_table_says_which_bar_is_not_met() -> None:
    figures = [
        Figure("parameters", 2_007_808, at_most=4_000_000),
        Figure("score", 0.42, at_least=0.5, note="layer 1, head 0"),
        Figure("loss", 1.5),
    ]

    assert render_table(figures).splitlines() == [
        "| figure | measured | must be | met |",
        "|---|---:|---|---|",
        "| parameters | 2,007,808 | at most 4,000,000 | yes |",
        "| score (layer 1, head 0) | 0.420 | at least 0.5 | **no** |",
        "| loss | 1.500 |  |  |",
    ]


def test_figures_come_back_from_their_file(tmp_path: Path) -> None:
    figures = [Figure("loss", 1.5), Figure("score", 0.42, at_least=0.5, note="layer 1, head 0")]
    write_figures(figures, tmp_path)

    assert list(load_figures(tmp_path).values()) == figures
