"""Format numbers, tokens and hints for the page."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from markupsafe import Markup, escape

from pytest_attn_grader.results.base import Number
from pytest_attn_grader.results.comparison import Timing
from pytest_attn_grader.results.report import Diagnosis

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
    """Return the evidence for the diagnosis, without the mistake's title when that is the headline already."""
    headline = f"Your attention equals one that {diagnosis.titles[0]}" if len(diagnosis.titles) == 1 else None
    if headline is None or not diagnosis.message.startswith(headline):
        return diagnosis.message
    return "An attention with this mistake gives your numbers" + diagnosis.message.removeprefix(headline)


def token_text(token: str) -> str:
    """A token as it can be read: a space is a raised box, what cannot be seen its code point."""
    shown = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in token)
    return shown.strip() or "␣"


# A distance that is smaller comes from adding in another order.
ROUNDING = 1e-6


def number(value: Number | None) -> str:
    """Three digits; what rounding alone leaves is said as such."""
    if value is None:
        return DASH
    if 0 < abs(float(value)) < ROUNDING:
        return f"below {ROUNDING:g}"
    return f"{float(value):.3g}" if math.isfinite(float(value)) else str(value)


def signed(value: Number) -> str:
    """Three digits, with a sign; what rounding alone leaves has none."""
    if 0 < abs(float(value)) < ROUNDING:
        return f"below {ROUNDING:g}"
    return f"{float(value):+.3g}" if math.isfinite(float(value)) else str(value)


def percent(value: Number) -> str:
    """A share of one."""
    share = float(value)
    if not math.isfinite(share):
        return str(value)
    return f"{share:.1%}" if share == 0 or share >= 0.001 else "< 0.1%"


def milliseconds(timing: Timing | None) -> str:
    """The median."""
    return DASH if timing is None else _in_milliseconds(timing.median)


def spread(timing: Timing) -> str:
    """The quartiles, or that there was one try only."""
    if timing.repeats == 1:
        return "(once)"
    return f"({_in_milliseconds(timing.low)} to {_in_milliseconds(timing.high)})"


def _in_milliseconds(seconds: Number) -> str:
    value = float(seconds) * 1000
    return f"{value:.2f}" if value < 10 else f"{value:,.0f}"
