"""A report as a short piece of HTML for a notebook's cell: verdict, mistake, hint, maps. No script, light and dark."""

from __future__ import annotations

from pytest_attn_grader.reports.html_page import get_environment, render_page
from pytest_attn_grader.reports.map_cells import map_cells
from pytest_attn_grader.results.comparison import Comparison
from pytest_attn_grader.results.report import GradeReport

# A wider table does not fit beside two others; the whole page has more.
MAX_TOKENS = 12


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
    reference, student, difference = map_cells(comparison.worst_map, MAX_TOKENS)
    return {
        "tokens": [token.strip() or token for token in tokens[:MAX_TOKENS]],
        "layer": comparison.layer_idx,
        "head": comparison.worst_head,
        "reference": reference,
        "student": student,
        "difference": difference,
        "differs": any(cell.text for row in difference for cell in row),
    }
