from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pytest_attn_grader.reports.plots import (
    plot_head,
    plot_head_grid,
    save_figure,
    write_plots,
)
from tests.support.pages import NAN, RIGHT, TOKENS, WRONG, comparison, shown_report


def test_three_panels_on_one_scale_with_tokens_on_both_axes() -> None:
    figure = plot_head(torch.tensor(RIGHT), np.array(WRONG), TOKENS, title="a head")
    panels = figure.axes[:3]
    assert [axes.get_title() for axes in panels[:2]] == ["reference", "student"]
    scales = [axes.images[0].get_clim() for axes in panels]
    assert scales == [(0.0, 1.0), (0.0, 1.0), (-1.0, 1.0)]
    assert np.allclose(panels[2].images[0].get_array(), np.array(WRONG) - np.array(RIGHT))
    assert [label.get_text() for label in panels[0].get_xticklabels()] == ["The", "cat", "sat"]
    assert [label.get_text() for label in panels[0].get_yticklabels()] == ["The", "cat", "sat"]


def test_no_difference_looks_like_none() -> None:
    difference = plot_head(RIGHT, np.array(RIGHT) + 1e-7, TOKENS).axes[2].images[0]
    red, green, blue, _ = difference.cmap(difference.norm(1e-7))
    assert min(red, green, blue) > 0.95


def test_values_are_written_where_there_is_room() -> None:
    assert ".25" in {text.get_text() for text in plot_head(RIGHT, WRONG, TOKENS).axes[0].texts}
    large = np.eye(9)
    assert not plot_head(large, large, ["x"] * 9).axes[0].texts


def test_what_is_no_number_is_drawn_as_such(tmp_path: Path) -> None:
    broken = [["nan", 0.0, 0.0], ["inf", 1.0, 0.0], [0.0, 0.0, NAN]]
    figure = plot_head(RIGHT, broken, TOKENS)
    assert [text.get_text() for text in figure.axes[1].texts].count("nan") == 3
    save_figure(figure, tmp_path / "broken.png")
    write_plots(shown_report(comparison(broken, residual_drift=(0.0, "nan", "nan"))), tmp_path)


def test_a_grid_has_a_row_a_head() -> None:
    figure = plot_head_grid([RIGHT, RIGHT, RIGHT], [RIGHT, WRONG, RIGHT], TOKENS)
    assert [axes.get_ylabel() for axes in figure.axes[0:9:3]] == ["head 0", "head 1", "head 2"]


def test_shapes_that_do_not_fit_are_named() -> None:
    with pytest.raises(ValueError, match=r"got \(3, 3\), \(2, 2\)"):
        plot_head(RIGHT, [[1.0, 0.0], [0.5, 0.5]], TOKENS)
