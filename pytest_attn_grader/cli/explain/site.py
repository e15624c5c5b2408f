"""Render the catalogue of mistakes as static pages: an index with a search box, and one page for each mistake.

The texts are the docstrings of the catalogue, and the numbers are measured when the site is written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from textwrap import dedent

from jinja2 import Environment

from pytest_attn_grader.cli.explain.measurements import LAYER, Measurement, measure_mistake
from pytest_attn_grader.misconceptions import FAMILIES, MISCONCEPTIONS, Misconception, find_misconception
from pytest_attn_grader.models.load import load_model
from pytest_attn_grader.reports import formatting
from pytest_attn_grader.reports.atomic_write import write_text_atomically
from pytest_attn_grader.reports.html_page import TEMPLATES as REPORT_TEMPLATES
from pytest_attn_grader.reports.map_cells import map_cells
from pytest_attn_grader.reports.page_templates import make_environment, read_script

TEMPLATES = Path(__file__).parent / "templates"
MAP_NAMES = ("Right attention", "With this mistake", "Difference")
_CODE = re.compile(r"\n\nBad:\n(?P<bad>.*)\nGood:\n(?P<good>.*)\Z", re.DOTALL)


def write_catalogue(out: Path, model: str, *, write_line: Callable[[str], object]) -> None:
    """Measure every mistake in a model, and write the site of all."""
    loaded = load_model(model)
    measurements = {mistake.slug: measure_mistake(mistake, loaded) for mistake in MISCONCEPTIONS}
    for path in write_site(out, measurements, model=loaded.used):
        write_line(str(path))


def write_site(out: Path, measurements: Mapping[str, Measurement], *, model: str) -> Iterator[Path]:
    """Write `index.html` and a page for each mistake into a folder, which is created, and yield their paths."""
    out.mkdir(parents=True, exist_ok=True)
    environment = _environment()
    families = [(title, [each for each in MISCONCEPTIONS if each.family == name]) for name, title in FAMILIES.items()]
    index = environment.get_template("index.html.j2").render(
        families=families, measurements=measurements, model=model, count=len(MISCONCEPTIONS)
    )
    write_text_atomically(out / "index.html", index)
    yield out / "index.html"
    template = environment.get_template("mistake.html.j2")
    for number, mistake in enumerate(MISCONCEPTIONS):
        fix, code = _split_fix(mistake)
        head = measurements[mistake.slug].head
        page = template.render(
            mistake=mistake,
            fix=fix,
            code=code,
            measured=measurements[mistake.slug],
            maps=[] if head is None else zip(MAP_NAMES, map_cells(head), strict=True),
            related=[find_misconception(slug) for slug in mistake.look_alikes],
            before=MISCONCEPTIONS[number - 1] if number else None,
            after=MISCONCEPTIONS[number + 1] if number + 1 < len(MISCONCEPTIONS) else None,
            model=model,
            layer=LAYER,
        )
        write_text_atomically(out / f"{mistake.slug}.html", page)
        yield out / f"{mistake.slug}.html"


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
