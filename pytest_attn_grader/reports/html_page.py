"""Render the HTML page of a report: one self-contained file that opens offline and loads nothing.

Text of a submission is escaped by the template, or put into a JSON element that no markup can leave. A content security
policy lets only the page's own script run, known by its hash.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment
from jinja2.utils import htmlsafe_json_dumps

from pytest_attn_grader.reports import formatting
from pytest_attn_grader.reports.page_templates import make_environment, read_script
from pytest_attn_grader.reports.summary import category_points, format_not_run, format_speed, format_timing, points
from pytest_attn_grader.results.base import Matrix, Number
from pytest_attn_grader.results.comparison import Comparison, HeadComparison
from pytest_attn_grader.results.report import CheckResult, GradeReport

TEMPLATES = Path(__file__).parent / "templates"
# A larger map is not readable on a page, and would make the file large.
MAX_TOKENS = 48
# Weights are embedded as whole thousandths: the page shows two decimals.
THOUSAND = 1000
MAX_EVIDENCE_CHARS = 200
# Rounding error of a row sum in half precision; the same as in `attention.validation`, which would import torch.
ROW_SUM_TOLERANCE = 5e-3
# Nats per token; a loss below the reference's by more than this is explained. Where an attention reads the future,
# every lower loss that can be seen is.
LOWER_LOSS = 0.02
FUTURE_CHECKS = ("masking.no-weight-on-future", "masking.future-changes-nothing")
NOT_DEFINED = "This number does not exist, because your weights or the model's output contain NaN or infinity."


def write_page(report: GradeReport, path: Path) -> None:
    """Write the page of a report."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render_page(report), encoding="utf-8")


def render_page(report: GradeReport) -> str:
    """Return the whole page as text."""
    return (
        get_environment()
        .get_template("page.html.j2")
        .render(
            report=report,
            label=formatting.report_title(report),
            compared=report.comparison,
            lower_loss=_explain_lower_loss(report),
            changed=report.comparison and report.comparison.clearest_change,
            shown_tokens=_shown_tokens(report.comparison),
            not_defined=NOT_DEFINED,
            failed=[check for check in report.checks if check.outcome == "failed"],
            others=[check for check in report.checks if check.outcome != "failed"],
            speed=format_speed(report),
            categories=category_points(report),
            not_run=format_not_run(report),
            evidence=_evidence,
            style=(TEMPLATES / "page.css").read_text(encoding="utf-8"),
            **read_script(TEMPLATES / "page.js"),
            embedded=htmlsafe_json_dumps(_plot_data(report), allow_nan=False, separators=(",", ":")),
        )
    )


@cache
def get_environment() -> Environment:
    """Return the template environment, made once: a class needs a page for each submission."""
    environment = make_environment(TEMPLATES)
    environment.filters.update(
        points=points,
        distinct_token_texts=formatting.distinct_token_texts,
        milliseconds=formatting.milliseconds,
        spread=formatting.spread,
        format_timing=format_timing,
        diagnosis_evidence=formatting.diagnosis_evidence,
        mistake_address=formatting.mistake_address,
        split_hint=formatting.split_hint,
        outcome_in_words=lambda outcome: {"skipped": "not run", "not-applicable": "not applicable"}.get(
            outcome, outcome
        ),
    )
    return environment


def _shown_tokens(compared: Comparison | None) -> int:
    """Return how many tokens of the prompt the maps show."""
    return min(MAX_TOKENS, len(compared.maps[0].reference)) if compared and compared.maps else MAX_TOKENS


def _explain_lower_loss(report: GradeReport) -> str:
    """Explain a loss that is lower than the reference's; "" when it is not."""
    if report.comparison is None:
        return ""
    predictions = report.comparison.predictions
    gain = float(predictions.reference_loss) - float(predictions.student_loss)
    is_seen = formatting.number(predictions.reference_loss) != formatting.number(predictions.student_loss)
    reads_future = any(check.id in FUTURE_CHECKS and check.outcome == "failed" for check in report.checks)
    if predictions.in_place or not gain > 0 or not (gain > LOWER_LOSS or (reads_future and is_seen)):
        return ""
    if reads_future:
        return (
            "A lower loss is no success here: your attention reads the future. The model sees the token that it has to "
            "predict, so predicting it is easy, and when it generates text there is no future to read."
        )
    return "A lower loss is no success here: the model was trained with the reference's attention, not with yours."


def _plot_data(report: GradeReport) -> dict[str, Any]:
    compared = report.comparison
    if compared is None:
        return {"maps": []}
    return {
        "tokens": [formatting.token_text(token) for token in report.prompt.tokens[: _shown_tokens(compared)]],
        "layer": compared.layer_idx,
        "allLayers": report.model.all_layers,
        "head": compared.worst_head,
        "query": _most_different_row(compared),
        "maps": [
            {
                "layer": each.layer,
                "head": each.head,
                "reference": _thousandths(each.reference),
                "student": _thousandths(each.student),
            }
            for each in compared.maps
        ],
        "metrics": {f"{head.layer}.{head.head}": _describe_head(head) for head in compared.heads},
        "drift": [_rounded(value) for value in compared.residual_drift],
    }


def _most_different_row(compared: Comparison) -> int:
    """Return the row in which both maps of the most different head differ most."""
    shown = compared.worst_map
    distances = [
        sum(abs(float(student) - float(reference)) for student, reference in zip(*rows, strict=True))
        for rows in zip(shown.student[:MAX_TOKENS], shown.reference[:MAX_TOKENS], strict=True)
    ]
    if max(distances) < 1e-3:
        return len(distances) - 1
    return max(range(len(distances)), key=lambda row: math.inf if math.isnan(distances[row]) else distances[row])


def _describe_head(head: HeadComparison) -> dict[str, Any]:
    """Return the metrics of a head for the script, with a note when the student's rows are not distributions."""
    number = formatting.number
    note = ""
    if not formatting.is_defined(head.total_variation):
        note = "A dash is a distance that does not exist: your weights in this head are NaN, infinite or empty."
    elif head.row_sum_error is not None and not float(head.row_sum_error) <= ROW_SUM_TOLERANCE:
        note = (
            f"Your rows do not sum to one (off by up to {number(head.row_sum_error)}), so they were divided by their "
            "sums before they were compared."
        )
    return {
        "note": note,
        "values": [
            ["cosine similarity", number(head.cosine)],
            ["total variation", number(head.total_variation)],
            ["Jensen-Shannon", _with_unit(number(head.jensen_shannon), "nats")],
            ["Earth Mover's", _with_unit(number(head.earth_movers), "tokens")],
            ["entropy difference", _with_unit(formatting.signed(head.entropy_difference), "nats")],
            ["same strongest key", formatting.percent(head.argmax_agreement)],
        ],
    }


def _with_unit(text: str, unit: str) -> str:
    return text if text == formatting.DASH else f"{text} {unit}"


def _thousandths(matrix: Matrix) -> list[list[int | None]]:
    """Return whole thousandths; None where a value is not finite."""
    return [
        [round(float(value) * THOUSAND) if math.isfinite(float(value)) else None for value in row[:MAX_TOKENS]]
        for row in matrix[:MAX_TOKENS]
    ]


def _rounded(value: Number) -> float | None:
    return round(float(value), 4) if math.isfinite(float(value)) else None


def _evidence(check: CheckResult) -> list[tuple[str, str]]:
    """Return the evidence of a check as names and short texts."""
    return [(name.replace("_", " "), _short(value)) for name, value in check.evidence.items()]


def _short(value: Any) -> str:
    if isinstance(value, float) or value in ("nan", "inf", "-inf"):
        return formatting.number(value) if not math.isfinite(float(value)) else f"{value:.4g}"
    text = ", ".join(_short(each) for each in value) if isinstance(value, list) else str(value)
    return text if len(text) <= MAX_EVIDENCE_CHARS else f"{text[:MAX_EVIDENCE_CHARS]}…"
