"""Attention maps as cells of HTML tables: what is written in each, how strong its colour is, and its classes."""

from __future__ import annotations

import math
from typing import NamedTuple

from pytest_attn_grader.reports.formatting import DASH
from pytest_attn_grader.results.comparison import AttentionMap

# A smaller weight is not written into its cell.
MIN_SHOWN = 0.005


class Cell(NamedTuple):
    """One weight; its strength is from 0 to 1, its classes are `more` or `less`, and `strong` or `broken`."""

    text: str
    strength: float
    classes: str


def map_cells(head: AttentionMap, max_tokens: int | None = None) -> list[list[list[Cell]]]:
    """The cells of the reference's map, of the student's, and of their difference."""
    reference, student = (
        [[float(weight) for weight in row[:max_tokens]] for row in matrix[:max_tokens]]
        for matrix in (head.reference, head.student)
    )
    difference = [[b - a for a, b in zip(*rows, strict=True)] for rows in zip(reference, student, strict=True)]
    return [[[_cell(weight) for weight in row] for row in matrix] for matrix in (reference, student, difference)]


def _cell(weight: float) -> Cell:
    if not math.isfinite(weight):
        return Cell(DASH, 0.0, "broken")
    strength = min(abs(weight), 1.0)
    text = f"{weight:.2f}" if abs(weight) < 10 else f"{weight:#.3g}"
    classes = ("less" if weight < 0 else "more") + (" strong" if strength > 0.6 else "")
    return Cell(text if strength >= MIN_SHOWN else "", round(strength, 3), classes)
