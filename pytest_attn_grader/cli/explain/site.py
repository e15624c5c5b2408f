"""Render the catalogue of mistakes as static pages: an index with a search box, and one page for each mistake.

The texts are the docstrings of the catalogue, and the numbers are measured when the site is written.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

from jinja2 import Environment

from pytest_attn_grader.cli.explain.measurements import LAYER, Measurement
from pytest_attn_grader.misconceptions import FAMILIES, Misconception
from pytest_attn_grader.reports import formatting
from pytest_attn_grader.reports.atomic_write import write_text_atomically
from pytest_attn_grader.reports.html_page import TEMPLATES as REPORT_TEMPLATES
from pytest_attn_grader.reports.page_templates import make_environment, read_script
from pytest_attn_grader.results.base import Matrix

TEMPLATES = Path(__file__).parent / "templates"
_CODE = re.compile(r"\n\nBad:\n(?P<bad>.*)\nGood:\n(?P<good>.*)\Z", re.DOTALL)


@dataclass(frozen=True)
class MapCell:
    """One weight of a map: its text, the strength of its colour (0 to 1), and the class of its colour."""

    text: str
    strength: float
    kind: str


def write_site(
    out: Path,
    mistakes: Sequence[Misconception],
    measurements: Mapping[str, Measurement],
    *,
    model: str,
    write_line: Callable[[str], object] = lambda line: None,
) -> None:
    """Write `index.html` and a page for each mistake into a folder, which is created.

    Args:
        measurements: by slug.
        model: name of the model on which the measurements were made.
        write_line: is given the path of each written page.

    Raises:
        OSError: the folder or a file cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    environment = _environment()
    by_slug = {mistake.slug: mistake for mistake in mistakes}
    families = [(title, [each for each in mistakes if each.family == name]) for name, title in FAMILIES.items()]
    index = environment.get_template("index.html.j2").render(
        families=[family for family in families if family[1]],
        measurements=measurements,
        model=model,
        count=len(mistakes),
    )
    _write(out / "index.html", index, write_line)
    template = environment.get_template("mistake.html.j2")
    for number, mistake in enumerate(mistakes):
        fix, code = _split_fix(mistake)
        page = template.render(
            mistake=mistake,
            fix=fix,
            code=code,
            measured=measurements[mistake.slug],
            maps=_maps(measurements[mistake.slug]),
            related=[by_slug[slug] for slug in mistake.look_alikes if slug in by_slug],
            before=mistakes[number - 1] if number else None,
            after=mistakes[number + 1] if number + 1 < len(mistakes) else None,
            model=model,
            layer=LAYER,
        )
        _write(out / f"{mistake.slug}.html", page, write_line)


def _write(path: Path, text: str, write_line: Callable[[str], object]) -> None:
    write_text_atomically(path, text)
    write_line(str(path))


def _environment() -> Environment:
    environment = make_environment(TEMPLATES)
    environment.globals.update(
        style=(REPORT_TEMPLATES / "page.css").read_text(encoding="utf-8")
        + (TEMPLATES / "site.css").read_text(encoding="utf-8"),
        dash=formatting.DASH,
        **read_script(TEMPLATES / "search.js"),
    )
    return environment


def _split_fix(mistake: Misconception) -> tuple[str, dict[str, str]]:
    """Return the remedy in words, and the bad and the good code without their common indentation."""
    found = _CODE.search(mistake.hints.fix)
    if found is None:
        return mistake.hints.fix, {}
    return mistake.hints.fix[: found.start()], {
        name: dedent(text).strip("\n") for name, text in found.groupdict().items()
    }


def _maps(measured: Measurement) -> list[tuple[str, list[list[MapCell]]]]:
    """Return both maps and their difference, ready to be drawn."""
    if measured.head is None:
        return []
    reference, student = measured.head.reference, measured.head.student
    difference = [
        [float(student) - float(reference) for student, reference in zip(*rows, strict=True)]
        for rows in zip(student, reference, strict=True)
    ]
    return [
        ("Right attention", _cells(reference)),
        ("With this mistake", _cells(student)),
        ("Difference", _cells(difference, signed=True)),
    ]


def _cells(matrix: Matrix | list[list[float]], *, signed: bool = False) -> list[list[MapCell]]:
    return [[_cell(float(weight), signed=signed) for weight in row] for row in matrix]


def _cell(weight: float, *, signed: bool) -> MapCell:
    if not math.isfinite(weight):
        return MapCell(formatting.DASH, 0.0, "broken")
    strength = min(abs(weight), 1.0)
    text = f"{weight:.2f}".replace("0.", ".", 1) if strength >= 0.005 else ""
    kinds: Any = [name for name, holds in (("strong", strength > 0.6), ("less", signed and weight < 0)) if holds]
    return MapCell(text, round(strength, 3), " ".join(kinds))
