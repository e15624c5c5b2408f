from __future__ import annotations

from pytest_attn_grader.results.report import CATEGORIES
from pytest_attn_grader.settings import DEFAULT_POINTS


def test_the_default_points_are_a_hundred_in_known_categories() -> None:
    assert sum(DEFAULT_POINTS.values()) == 100
    assert set(DEFAULT_POINTS) <= set(CATEGORIES)
