from __future__ import annotations

import pytest

from pytest_attn_grader.reports.plots import (
    plot_drift,
    plot_next_tokens,
)


def test_bars_and_drift() -> None:
    figure = plot_next_tokens([(" mat", 0.9), (" hat", 0.0001)], [(" cat", 0.5)])
    assert [text.get_text() for text in figure.axes[0].texts] == ["90.0%", "< 0.1%"]
    assert plot_drift([0.0, 0.5, 1.0], layer_idx=0).axes[0].lines[0].get_ydata().tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(
    ("layers", "labelled"), [(2, [0, 1, 2]), (30, [0, 5, 10, 15, 20, 25, 30]), (48, list(range(0, 49, 8)))]
)
def test_every_k_th_layer_of_a_deep_model_is_labelled(layers: int, labelled: list[int]) -> None:
    axes = plot_drift([0.1] * (layers + 1), layer_idx=0).axes[0]
    assert list(axes.get_xticks()) == labelled
    assert axes.get_xticklabels()[-1].get_text() == "output"
