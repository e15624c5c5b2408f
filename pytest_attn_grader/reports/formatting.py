"""Format numbers, tokens and hints for the page."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote

from markupsafe import Markup, escape

from pytest_attn_grader.reports.escaping import escape_unprintable
from pytest_attn_grader.results.base import Number
from pytest_attn_grader.results.comparison import Timing
from pytest_attn_grader.results.report import Diagnosis, GradeReport

DASH = "–"  # noqa: RUF001  # as in print
# The catalogue marks emphasis with *asterisks*; a product has spaces around its sign.
EMPHASIS = re.compile(r"(?<![\w*])\*(\w(?:[^*\n]*\w)?)\*(?![\w*])")


class Paragraph(NamedTuple):
    """One part of a hint: either prose or code."""

    prose: str = ""
    code: str = ""


def split_hint(hint: str) -> list[Paragraph]:
    """Split a hint at its empty lines; a part with indented lines is code."""
    return [
        Paragraph(code=part) if re.search(r"^\s", part, re.MULTILINE) else Paragraph(prose=part)
        for part in hint.split("\n\n")
        if part.strip()
    ]


def render_emphasis(text: str) -> Markup:
    """Escape the text and turn *asterisks* into emphasis."""
    return Markup(EMPHASIS.sub(r"<em>\1</em>", str(escape(text))))


def diagnosis_evidence(diagnosis: Diagnosis) -> str:
    """Return the evidence for the diagnosis, without the titles of the mistakes, which are headlines already."""
    titles = diagnosis.titles
    if len(titles) == 1:
        headline = f"Your attention equals one that {titles[0]}"
        if diagnosis.message.startswith(headline):
            return "An attention with this mistake gives your numbers" + diagnosis.message.removeprefix(headline)
    listed = "; ".join(f"({number}) it {title}" for number, title in enumerate(titles, start=1))
    headlines = f"Your attention has {len(titles)} mistakes, the most fundamental first: {listed}."
    return diagnosis.message.removeprefix(headlines).strip()


def mistake_address(report: GradeReport, slug: str) -> str:
    """Return the address of a mistake's page in the published catalogue, or nothing where there is none."""
    catalogue = str(report.settings.get("catalogue") or "")
    # The report may have been read from a file: an address of another scheme could be a script.
    return f"{catalogue}/{quote(slug, safe='')}.html" if catalogue.startswith(("https://", "http://")) else ""


def list_explanations(report: GradeReport) -> list[str]:
    """List where each named mistake is explained: its page in the catalogue, or else the command that prints it."""
    slugs = () if report.diagnosis is None else report.diagnosis.slugs
    return [mistake_address(report, slug) or f"attn-grader explain {slug}" for slug in slugs]


def report_title(report: GradeReport) -> str:
    """Return the title that was given with `--attn-title`, or a short name of the submission."""
    return str(report.settings.get("title") or submission_label(report.student.target))


def submission_label(target: str) -> str:
    """Return a short name of the submission: of an absolute path, the last two parts."""
    path = target.replace("\\", "/")
    if not re.match(r"/|[A-Za-z]:/", path):
        return target
    return "/".join(path.rstrip("/").split("/")[-2:])


def token_text(token: str) -> str:
    """Return a readable token: a blank as ␣, a line break as ↵, other unprintable characters spelled out."""
    return escape_unprintable(token.replace("\n", "↵"), keep="").strip() or "␣"


def distinct_token_texts(tokens: Sequence[str]) -> list[str]:
    """Return readable tokens; a leading blank is shown where two tokens would read the same."""
    texts = [token_text(token) for token in tokens]
    return [
        f"␣{text}" if texts.count(text) > 1 and token.startswith(" ") and text != "␣" else text
        for token, text in zip(tokens, texts, strict=True)
    ]


def visible_line_breaks(text: str) -> str:
    """Mark each line break with ↵, so that a line of blanks or a trailing line break can be seen."""
    return text.replace("\r\n", "\n").replace("\n", "↵\n")


# Smaller differences come from another order of additions.
ROUNDING = 1e-6


def is_defined(value: Number | None) -> bool:
    """Whether there is a number: None and NaN are not one."""
    return value is not None and not math.isnan(float(value))


def number(value: Number | None) -> str:
    """Format with three digits; a dash stands for a number that does not exist."""
    return _format(value, ".3g")


def signed(value: Number | None) -> str:
    """Format with three digits and a sign."""
    return _format(value, "+.3g")


def percent(value: Number | None) -> str:
    """Format a share of one as a percentage."""
    if value is None or not math.isfinite(float(value)):
        return _format(value, "")
    share = float(value)
    return f"{share:.1%}" if share == 0 or share >= 0.001 else "< 0.1%"


def _format(value: Number | None, digits: str) -> str:
    if value is None or math.isnan(float(value)):
        return DASH
    if math.isinf(float(value)):
        return "∞" if float(value) > 0 else "-∞"
    if 0 < abs(float(value)) < ROUNDING:
        return f"below {ROUNDING:g}"
    return format(float(value), digits) if value else "0"


def milliseconds(timing: Timing | None) -> str:
    """Format the median in milliseconds."""
    return DASH if timing is None else _in_milliseconds(timing.median)


def spread(timing: Timing) -> str:
    """Format the quartiles in milliseconds, or say that there was one measurement."""
    if timing.repeats == 1:
        return "(once)"
    return f"({_in_milliseconds(timing.low)} to {_in_milliseconds(timing.high)})"


def _in_milliseconds(seconds: Number) -> str:
    value = float(seconds) * 1000
    return f"{value:.2f}" if value < 10 else f"{value:,.0f}"
