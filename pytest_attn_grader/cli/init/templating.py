"""Templates are plain files with a few @@WORDS@@: `$`, `{{` and `%` all mean something in what they become."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from pytest_attn_grader.errors import UsageError

TEMPLATES = Path(__file__).parent / "templates"
_WORD = re.compile(r"@@([A-Z_]+)@@")
# What may stand in a shell script, a workflow and an ini file without meaning anything there.
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/@+=<>~!,:\[\]-]*")


def fill(template: str, words: Mapping[str, str]) -> str:
    """The template's text with its words.

    Raises:
        UsageError: a word holds what a script could take for a command.
    """
    for name, value in words.items():
        if not _PLAIN.fullmatch(value) or ".." in value:
            raise UsageError(f"{value!r} cannot be the {name.lower()} of a script: use letters, digits and ._/@=-")
    text = (TEMPLATES / template).read_text(encoding="utf-8")
    return _WORD.sub(lambda found: words[found[1]], text)


def current_requirement() -> str:
    """The requirement that installs this version of the grader."""
    from pytest_attn_grader import __version__

    return f"pytest-attn-grader=={__version__}"
