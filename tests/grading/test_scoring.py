from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_attn_grader.grading.scoring import assign_points, total_score
from pytest_attn_grader.results.report import CheckResult, Outcome
from pytest_attn_grader.settings.options import DEFAULT_POINTS

OUTCOMES: tuple[Outcome, ...] = ("passed", "failed", "skipped", "not-applicable", "error")


def check(outcome: Outcome = "passed", category: str = "masking", weight: float = 1.0, name: str = "a") -> CheckResult:
    return CheckResult(id=name, title=name, category=category, outcome=outcome, weight=weight)  # type: ignore[arg-type]


CHECKS = st.lists(
    st.builds(
        check,
        st.sampled_from(OUTCOMES),
        st.sampled_from(("contract", "masking", "budget", "custom")),
        st.floats(0.01, 100),
    ),
    max_size=12,
)
POINTS = st.dictionaries(st.sampled_from(("contract", "masking", "budget")), st.floats(0, 1000))


def shares(checks: Sequence[CheckResult]) -> list[tuple[float, float]]:
    return [(check.points_earned, check.points_possible) for check in assign_points(checks, DEFAULT_POINTS)]


@given(CHECKS, POINTS)
def test_a_category_is_worth_its_points_however_many_checks_it_has(checks, points) -> None:
    score = total_score(assign_points(checks, points))
    for category, part in score.by_category.items():
        applicable = any(each.outcome != "not-applicable" for each in checks if each.category == category)
        expected = points.get(category, 0.0) if applicable else 0.0
        assert math.isclose(part.possible, expected, rel_tol=1e-9, abs_tol=1e-6)
        assert 0 <= part.earned <= part.possible + 1e-6
    assert math.isclose(score.possible, sum(part.possible for part in score.by_category.values()), abs_tol=1e-5)
    assert math.isclose(score.earned, sum(part.earned for part in score.by_category.values()), abs_tol=1e-5)
    assert list(score.by_category) == list(dict.fromkeys(each.category for each in checks))


@given(CHECKS, POINTS)
def test_assigning_changes_nothing_but_points(checks, points) -> None:
    for before, after in zip(checks, assign_points(checks, points), strict=True):
        assert after.model_copy(update={"points_earned": 0.0, "points_possible": 0.0}) == before


@given(CHECKS, POINTS)
def test_only_a_passed_check_earns_and_it_earns_all_it_can(checks, points) -> None:
    for each in assign_points(checks, points):
        assert each.points_earned == (each.points_possible if each.outcome == "passed" else 0.0)


@given(CHECKS, POINTS)
def test_what_is_not_applicable_counts_as_if_it_were_not_there(checks, points) -> None:
    without = [each for each in checks if each.outcome != "not-applicable"]
    all_of_them = [each for each in assign_points(checks, points) if each.outcome != "not-applicable"]
    assert all_of_them == list(assign_points(without, points))
    assert all(
        (each.points_earned, each.points_possible) == (0.0, 0.0)
        for each in assign_points(checks, points)
        if each.outcome == "not-applicable"
    )


@given(CHECKS, POINTS, st.floats(0.01, 100))
def test_a_check_more_dilutes_no_other_category_and_no_clean_sheet(checks, points, weight) -> None:
    before = total_score(assign_points(checks, points)).by_category
    after = total_score(assign_points([*checks, check("passed", "masking", weight)], points)).by_category
    assert {name: part for name, part in before.items() if name != "masking"} == {
        name: part for name, part in after.items() if name != "masking"
    }
    if "masking" in before and before["masking"].possible:
        assert after["masking"].possible == pytest.approx(before["masking"].possible, abs=2e-6)
        assert after["masking"].earned >= before["masking"].earned - 2e-6


def test_shares_follow_weights() -> None:
    # masking is worth 20 points: 2 + 1 + 1 parts
    checks = [check("passed", weight=2), check("failed"), check("skipped")]
    assert shares(checks) == [(10.0, 10.0), (0.0, 5.0), (0.0, 5.0)]


def test_a_share_that_is_not_applicable_goes_to_the_others() -> None:
    checks = [check("passed", weight=2), check("not-applicable"), check("failed")]
    assert shares(checks) == [(20 * 2 / 3, 20 * 2 / 3), (0.0, 0.0), (0.0, 20 / 3)]


def test_a_category_with_nothing_applicable_drops_out() -> None:
    score = total_score(assign_points([check("not-applicable"), check("passed", "budget")], DEFAULT_POINTS))
    assert (score.earned, score.possible) == (5.0, 5.0)
    assert score.by_category["masking"].model_dump() == {
        "earned": 0.0,
        "possible": 0.0,
        "checks_passed": 0,
        "checks_total": 0,
    }


def test_thirds_add_up_to_a_round_number() -> None:
    score = total_score(assign_points([check() for _ in range(3)], {"masking": 10.0}))
    assert (score.earned, score.possible) == (10.0, 10.0)


def test_counts() -> None:
    checks = [check("passed"), check("failed"), check("skipped"), check("error"), check("not-applicable")]
    part = total_score(checks).by_category["masking"]
    assert (part.checks_passed, part.checks_total) == (1, 4)


def test_weights_of_zero_are_worth_nothing() -> None:
    assert shares([check("passed", weight=0.0)]) == [(0.0, 0.0)]


def test_nothing_is_nothing() -> None:
    score = total_score(())
    assert (score.earned, score.possible, score.by_category) == (0, 0, {})
