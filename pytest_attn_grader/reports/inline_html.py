"""A report as a short piece of HTML for a notebook's cell: verdict, mistake, hint, maps. No script, light and dark."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pytest_attn_grader.reports.html_page import get_environment, render_page
from pytest_attn_grader.results.base import Matrix
from pytest_attn_grader.results.comparison import Comparison
from pytest_attn_grader.results.report import GradeReport

# A wider table does not fit beside two others; the whole page has more.
MAX_TOKENS = 12
# A smaller weight is not written into its cell.
MIN_SHOWN = 0.005


@dataclass(frozen=True)
class Cell:
    """One weight of a map: what is written, how strong its colour is (0 to 1), and whether it is more or less."""

    text: str
    strength: str
    sign: str


def render_inline(report: GradeReport) -> str:
    """The HTML of a report; everything that comes from a submission is escaped."""
    return (
        get_environment()
        .get_template("inline.html.j2")
        .render(
            report=report,
            failed=[check for check in report.checks if check.outcome == "failed"],
            page=render_page(report),
            **_maps(report.comparison, report.prompt.tokens),
        )
    )


def _maps(comparison: Comparison | None, tokens: tuple[str, ...]) -> dict[str, object]:
    """The maps of the head that differs most; none where nothing was compared."""
    if comparison is None or not comparison.maps:
        return {"tokens": ()}
    chosen = comparison.worst_map
    shown = tokens[:MAX_TOKENS]
    reference, student = _cut(chosen.reference), _cut(chosen.student)
    difference = [
        [b - a for a, b in zip(first, second, strict=True)] for first, second in zip(reference, student, strict=True)
    ]
    return {
        "tokens": [token.strip() or token for token in shown],
        "layer": chosen.layer,
        "head": chosen.head,
        "reference": _cells(reference),
        "student": _cells(student),
        "difference": _cells(difference),
        "differs": any(math.isnan(weight) or abs(weight) >= MIN_SHOWN for row in difference for weight in row),
    }


def _cut(matrix: Matrix) -> list[list[float]]:
    return [[float(weight) for weight in row[:MAX_TOKENS]] for row in matrix[:MAX_TOKENS]]


def _cells(rows: list[list[float]]) -> list[list[Cell]]:
    return [[_cell(weight) for weight in row] for row in rows]


def _cell(weight: float) -> Cell:
    if not math.isfinite(weight):
        return Cell("–", "0", "more")  # noqa: RUF001  # a dash, as the page writes a number that does not exist
    text = f"{weight:.2f}".replace("-0.00", "0.00") if abs(weight) < 10 else f"{weight:#.3g}"
    return Cell("" if text == "0.00" else text, f"{min(1.0, abs(weight)):.3f}", "less" if weight < 0 else "more")
