"""What the pictures share: colours, sizes, words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

REFERENCE_COLOUR = "#33415c"
STUDENT_COLOUR = "#d9722e"
GRID_COLOUR = "#d5d9e0"
TEXT_COLOUR = "#1d2433"
WEIGHTS_MAP = "cividis"
DIFFERENCE_MAP = "PuOr_r"
# Inches: the column of a page, at which 8 points can be read.
COLUMN_WIDTH = 7.0
FONT_SIZE = 8.0
MAX_LABELS = 32


def new_figure(width: float, height: float) -> Figure:
    """A figure of its own, not pyplot's: nothing to close, no window, safe in threads."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_facecolor("white")
    return figure


def token_label(token: str) -> str:
    """A token as it can be drawn: without its leading space; what cannot be seen by its code point."""
    shown = token.strip() or token
    # A lone $ starts a formula in matplotlib.
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in shown).replace("$", r"\$")


def as_map(values: Any) -> np.ndarray[Any, Any]:
    """A tensor, an array or nested lists, in float64; "nan" and "inf", as the report spells them, included."""
    plain = values.tolist() if hasattr(values, "tolist") else values
    return np.asarray(plain, dtype=object).astype(np.float64)


def label_tokens(axes: Any, tokens: Sequence[str], *, keys: bool = True, queries: bool = True) -> None:
    """Tokens on both axes: keys below, queries on the left; every other one when there are too many to read."""
    step = -(-len(tokens) // MAX_LABELS)
    places = list(range(0, len(tokens), step))
    labels = [token_label(tokens[place]) for place in places]
    axes.set_xticks(places, labels if keys else [], rotation=60, ha="right", rotation_mode="anchor")
    axes.set_yticks(places, labels if queries else [])
    axes.tick_params(length=0, labelsize=FONT_SIZE, colors=TEXT_COLOUR)
    for spine in axes.spines.values():
        spine.set_visible(False)
