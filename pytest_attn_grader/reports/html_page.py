"""The page: one self-contained HTML file that shows a report. It opens offline and asks no server for anything.

Everything that comes from a submission is escaped by the template, or travels in a JSON island that no markup can
leave; and a content security policy lets no script run but the page's own, known by its hash.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pytest_attn_grader.reports import formatting
from pytest_attn_grader.reports.escaping import escape_unprintable
from pytest_attn_grader.reports.summary import format_speed, format_timing, points
from pytest_attn_grader.results.base import Matrix, Number
from pytest_attn_grader.results.comparison import AttentionMap, Comparison, HeadComparison
from pytest_attn_grader.results.report import CheckResult, GradeReport

TEMPLATES = Path(__file__).parent / "templates"
# A map of more tokens cannot be read on a page, and would make it large; the JSON report has them all.
MAX_TOKENS = 48
# Weights travel as whole thousandths: what a page shows has two decimals.
THOUSAND = 1000
# What rounding leaves of a sum of one in half precision; as `attention_rows` has it, which would load torch.
ROW_SUM_TOLERANCE = 5e-3


def write_page(report: GradeReport, path: Path) -> None:
    """Write the page of a report.

    Raises:
        OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render_page(report), encoding="utf-8")


def render_page(report: GradeReport) -> str:
    """The whole page as text."""
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    return (
        get_environment()
        .get_template("page.html.j2")
        .render(
            report=report,
            compared=report.comparison,
            failed=[check for check in report.checks if check.outcome == "failed"],
            others=[check for check in report.checks if check.outcome != "failed"],
            speed=format_speed(report),
            evidence=_evidence,
            style=(TEMPLATES / "page.css").read_text(encoding="utf-8"),
            script=script,
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            island=_embedded_json(report),
        )
    )


@cache
def get_environment() -> Environment:
    """Made once, with the compiled template: a class has a page for each."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        # Our own script and style come as markup; everything else may be a student's.
        finalize=lambda value: escape_unprintable(value) if type(value) is str else value,
    )
    environment.filters.update(
        number=formatting.number,
        points=points,
        percent=formatting.percent,
        token=formatting.token_text,
        milliseconds=formatting.milliseconds,
        spread=formatting.spread,
        format_timing=format_timing,
        diagnosis_evidence=formatting.diagnosis_evidence,
        split_hint=formatting.split_hint,
        render_emphasis=formatting.render_emphasis,
        capitalize_first=lambda text: text[:1].upper() + text[1:],
    )
    return environment


def _embedded_json(report: GradeReport) -> str:
    """What the script draws, as JSON inside a script element: no character in it can end the element or start a tag."""
    text = json.dumps(_plot_data(report), allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _plot_data(report: GradeReport) -> dict[str, Any]:
    compared = report.comparison
    if compared is None:
        return {"maps": []}
    return {
        "tokens": [formatting.token_text(token) for token in report.prompt.tokens[:MAX_TOKENS]],
        "layer": compared.layer_idx,
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
        "figures": {f"{head.layer}.{head.head}": _in_words(head) for head in compared.heads},
        "drift": [_plain(value) for value in compared.residual_drift],
    }


def _most_different_row(compared: Comparison) -> int:
    """The row in which both maps of the most different head differ most."""
    chosen = next(each for each in compared.maps if _is_most_different(each, compared))
    apart = [
        sum(abs(float(mine) - float(yours)) for mine, yours in zip(*rows, strict=True))
        for rows in zip(chosen.student[:MAX_TOKENS], chosen.reference[:MAX_TOKENS], strict=True)
    ]
    if max(apart) < 1e-3:
        return len(apart) - 1
    return max(range(len(apart)), key=lambda row: math.inf if math.isnan(apart[row]) else apart[row])


def _is_most_different(each: AttentionMap, compared: Comparison) -> bool:
    return (each.layer, each.head) == (compared.layer_idx, compared.worst_head)


def _in_words(head: HeadComparison) -> str:
    """What is said under the maps; that the rows are no distributions before any distance between them."""
    number = formatting.number
    rows = ""
    if head.row_sum_error is not None and not float(head.row_sum_error) <= ROW_SUM_TOLERANCE:
        rows = (
            f"your rows do not sum to one (off by up to {number(head.row_sum_error)}), and what follows is of rows "
            "divided by their sums: "
        )
    return (
        f"{rows}cosine {number(head.cosine)}, Jensen-Shannon {number(head.jensen_shannon)} nats, "
        f"Earth Mover's {number(head.earth_movers)} tokens, total variation {number(head.total_variation)}, "
        f"entropy {formatting.signed(head.entropy_difference)} nats, "
        f"same favourite {formatting.percent(head.argmax_agreement)}"
    )


def _thousandths(matrix: Matrix) -> list[list[int | None]]:
    """Whole thousandths; None where a value is not finite."""
    return [
        [round(float(value) * THOUSAND) if math.isfinite(float(value)) else None for value in row[:MAX_TOKENS]]
        for row in matrix[:MAX_TOKENS]
    ]


def _plain(value: Number) -> float | None:
    return round(float(value), 4) if math.isfinite(float(value)) else None


def _evidence(check: CheckResult) -> list[tuple[str, str]]:
    """The numbers of a check, named and short."""
    return [(name.replace("_", " "), _short(value)) for name, value in check.evidence.items()]


def _short(value: Any, max_chars: int = 200) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= max_chars else f"{text[:max_chars]}…"
