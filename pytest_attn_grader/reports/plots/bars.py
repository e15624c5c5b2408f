"""Plots of the next-token predictions (bars) and of the residual drift (line)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from pytest_attn_grader.reports.plots.style import (
    FONT_SIZE,
    GRID_COLOUR,
    REFERENCE_COLOUR,
    STUDENT_COLOUR,
    TEXT_COLOUR,
    as_map,
    new_figure,
    token_label,
)

MAX_LAYER_LABELS = 6


def plot_next_tokens(
    reference: Sequence[tuple[str, float]], student: Sequence[tuple[str, float]], *, title: str = ""
) -> Figure:
    """Plot the most likely next tokens of both models, with their probabilities.

    Args:
        reference, student: (token, probability), the most likely first.
    """
    figure = new_figure(0.9 + 0.24 * max(len(reference), len(student)), title)
    both = ((reference, REFERENCE_COLOUR, "reference"), (student, STUDENT_COLOUR, "student"))
    for axes, (tokens, colour, name) in zip(figure.subplots(1, 2), both, strict=True):
        places = range(len(tokens))
        probabilities = as_map([probability for _, probability in tokens])
        axes.barh(places, probabilities, color=colour, height=0.7)
        axes.set_yticks(places, [token_label(token) for token, _ in tokens])
        axes.set_xlim(0, 1.18)
        axes.set_xticks([0, 0.5, 1], ["0", "50%", "100%"])
        axes.invert_yaxis()
        for place, probability in zip(places, probabilities, strict=True):
            axes.text(probability + 0.02, place, _percent(probability), va="center", fontsize=FONT_SIZE - 1)
        axes.set_title(name, fontsize=FONT_SIZE + 1, color=TEXT_COLOUR)
        _tidy(axes, grid="x")
    return figure


def plot_drift(drift: Sequence[Any], *, layer_idx: int, title: str = "") -> Figure:
    """Plot the distance of the student's residual stream from the reference's, layer by layer.

    Args:
        drift: relative distances before each layer and, last, where the output layer reads.
        layer_idx: the layer whose attention was replaced.
    """
    values = as_map(list(drift))
    figure = new_figure(2.4, title)
    axes = figure.subplots()
    axes.plot(range(len(values)), values, marker="o", color=STUDENT_COLOUR, linewidth=2, clip_on=False)
    axes.axvspan(layer_idx, layer_idx + 1, color=GRID_COLOUR, alpha=0.5, linewidth=0)
    axes.annotate(
        f"layer {layer_idx}: replaced",
        (layer_idx + 0.5, 1),
        xycoords=("data", "axes fraction"),
        xytext=(0, -10),
        textcoords="offset points",
        ha="center",
        fontsize=FONT_SIZE - 1,
        color=TEXT_COLOUR,
    )
    last = len(values) - 1
    step = -(-last // MAX_LAYER_LABELS)
    # The last label is always drawn, so the one before it must not be near.
    labelled = [at for at in range(last) if at % step == 0 and last - at >= step] + [last]
    axes.set_xticks(labelled, ["output" if at == last else f"before layer {at}" for at in labelled])
    axes.set_ylim(bottom=0, top=None if (values > 0).any() else 1)
    axes.set_ylabel("distance / length", fontsize=FONT_SIZE)
    _tidy(axes, grid="y")
    return figure


def _percent(probability: float) -> str:
    return f"{probability:.1%}" if probability >= 0.001 else "< 0.1%" if probability > 0 else "0"


def _tidy(axes: Any, *, grid: str) -> None:
    axes.grid(axis=grid, color=GRID_COLOUR, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=FONT_SIZE, colors=TEXT_COLOUR)
    for spine in axes.spines.values():
        spine.set_visible(False)
