"""The template environment of every page, and the script that a page lets run: no other, known by its hash."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pytest_attn_grader.reports import formatting
from pytest_attn_grader.reports.escaping import escape_unprintable


def make_environment(folder: Path) -> Environment:
    """Return an environment for the templates of a folder; it escapes every value and refuses unknown names."""
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # The package's script and style are Markup; every plain string may be a student's.
        finalize=lambda value: escape_unprintable(value) if type(value) is str else value,
    )
    environment.filters.update(
        number=formatting.number,
        percent=formatting.percent,
        is_defined=formatting.is_defined,
        token=formatting.token_text,
        line_breaks=formatting.visible_line_breaks,
        render_emphasis=formatting.render_emphasis,
        capitalize_first=lambda text: text[:1].upper() + text[1:],
    )
    return environment


def read_script(path: Path) -> dict[str, str]:
    """Return a page's script and its hash, under the names that the templates have for them."""
    script = path.read_text(encoding="utf-8")
    return {"script": script, "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}
