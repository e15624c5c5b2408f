from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import torch

from pytest_attn_grader.reports.plots import (
    plot_drift,
    plot_head,
    plot_head_grid,
    plot_next_tokens,
    save_figure,
    write_plots,
)
from pytest_attn_grader.reports.plots.style import as_map, token_label
from tests.support.pages import NAN, RIGHT, TOKENS, WRONG, comparison, shown_report

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def test_a_report_s_pictures_are_written_in_both_formats(tmp_path: Path) -> None:
    written = write_plots(shown_report(), tmp_path / "new" / "plots")
    names = {"heads", "head", "next_tokens", "drift"}
    assert {path.name for path in written} == {f"{name}.{ending}" for name in names for ending in ("png", "svg")}
    for path in written:
        if path.suffix == ".png":
            assert path.read_bytes().startswith(PNG_SIGNATURE)
        else:
            ET.parse(path)


def test_nothing_compared_nothing_drawn(tmp_path: Path) -> None:
    report = shown_report().model_copy(update={"comparison": None})
    assert write_plots(report, tmp_path) == ()


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


def test_bars_and_drift() -> None:
    figure = plot_next_tokens([(" mat", 0.9), (" hat", 0.0001)], [(" cat", 0.5)])
    assert [text.get_text() for text in figure.axes[0].texts] == ["90.0%", "< 0.1%"]
    assert plot_drift([0.0, 0.5, 1.0], layer_idx=0).axes[0].lines[0].get_ydata().tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(
    ("token", "label"), [(" cat", "cat"), (" ", " "), ("\n", r"\x0a"), ("$x$", r"\$x\$"), ("é", "é")]
)
def test_token_labels(token: str, label: str) -> None:
    assert token_label(token) == label


@pytest.mark.parametrize(
    ("layers", "labelled"), [(2, [0, 1, 2]), (30, [0, 5, 10, 15, 20, 25, 30]), (48, list(range(0, 49, 8)))]
)
def test_every_k_th_layer_of_a_deep_model_is_labelled(layers: int, labelled: list[int]) -> None:
    axes = plot_drift([0.1] * (layers + 1), layer_idx=0).axes[0]
    assert list(axes.get_xticks()) == labelled
    assert axes.get_xticklabels()[-1].get_text() == "output"


def test_maps_of_any_kind() -> None:
    assert as_map(torch.ones(1, 2)).tolist() == as_map([[1, 1.0]]).tolist() == [[1.0, 1.0]]


def test_the_same_figure_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.svg", "two.svg"):
        save_figure(plot_drift([0.0, 0.5], layer_idx=0, title="<script>alert(1)</script>"), tmp_path / name)
    one, two = (tmp_path / name for name in ("one.svg", "two.svg"))
    assert one.read_bytes() == two.read_bytes()
    assert b"<script" not in one.read_bytes()


def test_no_window_system_is_chosen() -> None:
    code = (
        "import sys, pytest_attn_grader.reports.plots; assert 'matplotlib.pyplot' not in sys.modules; "
        "assert not any('backend_tk' in name or 'backend_qt' in name for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=120)
