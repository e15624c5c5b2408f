"""Style of all plots: colours, sizes, labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from pytest_attn_grader.reports.escaping import escape_unprintable

REFERENCE_COLOUR = "#33415c"
STUDENT_COLOUR = "#d9722e"
GRID_COLOUR = "#d5d9e0"
TEXT_COLOUR = "#1d2433"
WEIGHTS_MAP = "cividis"
DIFFERENCE_MAP = "PuOr_r"
# Inches: the width of a page's column, at which 8 points are readable.
COLUMN_WIDTH = 7.0
FONT_SIZE = 8.0
MAX_LABELS = 32


def new_figure(height: float, title: str = "") -> Figure:
    """Return a figure that pyplot does not know: nothing to close, no window, safe in threads."""
    figure = Figure(figsize=(COLUMN_WIDTH, height), layout="constrained")
    figure.patch.set_facecolor("white")
    if title:
        figure.suptitle(title, fontsize=FONT_SIZE + 2, color=TEXT_COLOUR, x=0.01, ha="left", weight="bold")
    return figure


def token_label(token: str) -> str:
    """Return a token as a label: without leading space, unprintable characters spelled out."""
    # A lone $ starts a formula in matplotlib.
    return escape_unprintable(token.strip() or token, keep="").replace("$", r"\$")


def as_map(values: Any) -> np.ndarray[Any, Any]:
    """Convert a tensor, an array or nested lists to float64; the report's "nan" and "inf" are read as numbers."""
    plain = values.tolist() if hasattr(values, "tolist") else values
    return np.asarray(plain, dtype=object).astype(np.float64)


def label_tokens(axes: Any, tokens: Sequence[str], *, keys: bool = True, queries: bool = True) -> None:
    """Label both axes with tokens, keys below and queries on the left; every k-th token when there are too many."""
    step = -(-len(tokens) // MAX_LABELS)
    places = list(range(0, len(tokens), step))
    labels = [token_label(tokens[place]) for place in places]
    axes.set_xticks(places, labels if keys else [], rotation=60, ha="right", rotation_mode="anchor")
    axes.set_yticks(places, labels if queries else [])
    axes.tick_params(length=0, labelsize=FONT_SIZE, colors=TEXT_COLOUR)
    for spine in axes.spines.values():
        spine.set_visible(False)
