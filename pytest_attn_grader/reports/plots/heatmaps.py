"""Heatmaps of attention: reference, student, and student minus reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from pytest_attn_grader.reports.plots.style import (
    DIFFERENCE_MAP,
    FONT_SIZE,
    TEXT_COLOUR,
    WEIGHTS_MAP,
    as_map,
    label_tokens,
    new_figure,
)

MAX_TOKENS_WITH_VALUES = 8
PANELS = ("reference", "student", "student − reference")  # noqa: RUF001  # a minus sign, as in print


def plot_head(reference: Any, student: Any, tokens: Sequence[str], *, title: str = "") -> Figure:
    """Plot one head: both maps and their difference on one scale, with values when the map is small.

    Args:
        reference, student: ``(query_len, key_len)``, tensors, arrays or lists; NaN is drawn grey.
        tokens: what each position reads as; queries are rows, keys columns.
    """
    maps = _panels(reference, student)
    figure = new_figure(2.9 if len(tokens) <= MAX_TOKENS_WITH_VALUES else 3.4, title)
    row = figure.subplots(1, 3)
    images = _draw_row(row, maps, _top(maps[:2]))
    for place, (axes, panel) in enumerate(zip(row, maps, strict=True)):
        axes.set_title(PANELS[place], fontsize=FONT_SIZE + 1, color=TEXT_COLOUR)
        label_tokens(axes, tokens, queries=place == 0)
        if len(tokens) <= MAX_TOKENS_WITH_VALUES:
            _write_values(axes, images[place], panel)
    row[0].set_ylabel("query", fontsize=FONT_SIZE)
    _colour_bars(figure, row, images)
    return figure


def plot_head_grid(reference: Any, student: Any, tokens: Sequence[str], *, title: str = "") -> Figure:
    """Plot every head of a layer, one per row: reference, student and difference, all on one scale.

    Args:
        reference, student: ``(num_heads, query_len, key_len)``, tensors, arrays or lists; NaN is drawn grey.
        tokens: what each position reads as.
    """
    heads = [_panels(*maps) for maps in zip(reference, student, strict=True)]
    top = _top([panel for maps in heads for panel in maps[:2]])
    figure = new_figure(1.0 + 1.75 * len(heads), title)
    grid = figure.subplots(len(heads), 3, squeeze=False)
    for head, (row, maps) in enumerate(zip(grid, heads, strict=True)):
        images = _draw_row(row, maps, top)
        for place, axes in enumerate(row):
            label_tokens(axes, tokens, keys=head == len(heads) - 1, queries=place == 0)
            if head == 0:
                axes.set_title(PANELS[place], fontsize=FONT_SIZE + 1, color=TEXT_COLOUR)
        row[0].set_ylabel(f"head {head}", fontsize=FONT_SIZE + 1, color=TEXT_COLOUR)
    _colour_bars(figure, grid, images)
    return figure


def _panels(reference: Any, student: Any) -> list[np.ndarray[Any, Any]]:
    maps = as_map(reference), as_map(student)
    if maps[0].shape != maps[1].shape or maps[0].ndim != 2:
        raise ValueError(f"reference and student must be 2-D maps of one shape, got {maps[0].shape}, {maps[1].shape}")
    return [*maps, maps[1] - maps[0]]


def _top(weights: Sequence[np.ndarray[Any, Any]]) -> float:
    """Return the upper end of the scale of all panels; the difference ranges from its negative to it."""
    together = np.stack(list(weights))
    return max(float(np.max(together, where=np.isfinite(together), initial=0.0)), 1e-12)


def _draw_row(row: Any, maps: Sequence[np.ndarray[Any, Any]], top: float) -> list[Any]:
    images = []
    for place, (axes, panel) in enumerate(zip(row, maps, strict=True)):
        low, high, colours = (0.0, top, WEIGHTS_MAP) if place < 2 else (-top, top, DIFFERENCE_MAP)
        axes.set_facecolor("#9a9a9a")
        images.append(axes.imshow(np.ma.masked_invalid(panel), vmin=low, vmax=high, cmap=colours))
    return images


def _write_values(axes: Any, image: Any, panel: np.ndarray[Any, Any]) -> None:
    for (query, key), value in np.ndenumerate(panel):
        if not np.isfinite(value):
            text, ink = "nan", "white"
        elif abs(value) < 0.005:
            continue
        else:
            red, green, blue, _ = image.cmap(image.norm(value))
            ink = "black" if 0.3 * red + 0.59 * green + 0.11 * blue > 0.5 else "white"
            text = f"{value:.2f}".replace("0.", ".", 1)
        axes.text(key, query, text, ha="center", va="center", fontsize=FONT_SIZE - 2, color=ink)


def _colour_bars(figure: Figure, grid: Any, images: Sequence[Any]) -> None:
    columns = np.atleast_2d(grid)
    weights = figure.colorbar(images[1], ax=columns[:, :2], location="bottom", aspect=40, pad=0.02, fraction=0.05)
    difference = figure.colorbar(images[2], ax=columns[:, 2], location="bottom", aspect=20, pad=0.02, fraction=0.05)
    for bar in (weights, difference):
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=FONT_SIZE - 1, length=2)
