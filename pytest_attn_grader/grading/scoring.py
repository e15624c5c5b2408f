"""Points: every category has its own, shared among its checks by weight.

A check that is not applicable gives its share to the others of its category; a category without any applicable check
drops out of the possible points. So a student neither gains nor loses by a check that is not applicable. A new check
leaves the points of the other categories as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_attn_grader.results.report import CategoryScore, CheckResult, Score


def assign_points(checks: Sequence[CheckResult], points: Mapping[str, float]) -> tuple[CheckResult, ...]:
    """The same checks with their points filled in."""
    totals: dict[str, float] = {}
    for check in checks:
        if check.outcome != "not-applicable":
            totals[check.category] = totals.get(check.category, 0.0) + check.weight

    def share(check: CheckResult) -> CheckResult:
        total = totals.get(check.category, 0.0)
        if check.outcome == "not-applicable" or total == 0:
            return check.model_copy(update={"points_possible": 0.0, "points_earned": 0.0})
        possible = points.get(check.category, 0.0) * check.weight / total
        earned = possible if check.outcome == "passed" else 0.0
        return check.model_copy(update={"points_possible": possible, "points_earned": earned})

    return tuple(share(check) for check in checks)


def total_score(checks: Sequence[CheckResult]) -> Score:
    """Sum the points by category, in the order in which the categories first appear.

    Sums are rounded to six decimals: shares such as a third must add up to the category's round number.
    """
    categories = list(dict.fromkeys(check.category for check in checks))
    by_category: dict[str, CategoryScore] = {}
    for category in categories:
        of_category = [check for check in checks if check.category == category and check.outcome != "not-applicable"]
        by_category[category] = CategoryScore(
            earned=round(sum(check.points_earned for check in of_category), 6),
            possible=round(sum(check.points_possible for check in of_category), 6),
            checks_passed=sum(check.outcome == "passed" for check in of_category),
            checks_total=len(of_category),
        )
    return Score(
        earned=round(sum(score.earned for score in by_category.values()), 6),
        possible=round(sum(score.possible for score in by_category.values()), 6),
        by_category=by_category,
    )
