"""The cells of attention maps."""

from __future__ import annotations

import math

import pytest

from pytest_attn_grader.reports.map_cells import map_cells
from pytest_attn_grader.results.comparison import AttentionMap


@pytest.mark.parametrize(
    ("weight", "text", "classes"),
    [
        (0.25, "0.25", "more"),
        (0.75, "0.75", "more strong"),
        (-0.5, "-0.50", "less"),
        (-0.001, "", "less"),
        (0.0, "", "more"),
        (123.4, "123.", "more strong"),
        (math.nan, "\N{EN DASH}", "broken"),
    ],
)
def test_a_cell(weight: float, text: str, classes: str) -> None:
    _, ((student,),), _ = map_cells(AttentionMap(layer=0, head=0, reference=[[0.0]], student=[[weight]]))
    assert (student.text, student.classes) == (text, classes)
    assert 0 <= student.strength <= 1


def test_the_third_map_is_the_difference() -> None:
    _, _, difference = map_cells(AttentionMap(layer=0, head=0, reference=[[0.5, 1.0]], student=[[0.75, "nan"]]))
    assert [cell.text for cell in difference[0]] == ["0.25", "\N{EN DASH}"]


def test_large_maps_are_cut() -> None:
    rows = [[0.1] * 40] * 40
    for cut in map_cells(AttentionMap(layer=0, head=0, reference=rows, student=rows), 12):
        assert (len(cut), len(cut[0])) == (12, 12)
