"""Render the templates of `attn-grader init`.

A placeholder is written @@NAME@@, because `$`, `{{` and `%` have a meaning in shell scripts, workflows and ini files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from pytest_attn_grader.errors import UsageError

TEMPLATES = Path(__file__).parent / "templates"
_PLACEHOLDER = re.compile(r"@@([A-Z_]+)@@")
# Characters without a special meaning in a shell script, a workflow or an ini file.
_SAFE_VALUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/@+=<>~!,:\[\]-]*")


def render_template(template: str, values: Mapping[str, str]) -> str:
    """Return the text of a template with its placeholders replaced."""
    for name, value in values.items():
        if not _SAFE_VALUE.fullmatch(value) or ".." in value:
            raise UsageError(f"{value!r} cannot be used as {name.lower()} in a script: use letters, digits and ._/@=-")
    text = (TEMPLATES / template).read_text(encoding="utf-8")
    return _PLACEHOLDER.sub(lambda found: values[found[1]], text)


def current_requirement() -> str:
    """The requirement that installs this version of the grader."""
    from pytest_attn_grader import __version__

    return f"pytest-attn-grader=={__version__}"
