"""Render a submission's source for a prompt: shortened, lines numbered, unprintable characters escaped.

Every line of the submission begins with its number, so it cannot imitate a line of the prompt. Control characters, text
directions and invisible tags are escaped.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import NamedTuple

from pytest_attn_grader.reports.escaping import escape_unprintable
from pytest_attn_grader.submission.worker.ipython_syntax import read_code_cells

# About 10,000 tokens; no submission in this repository's tests is a tenth as long.
MAX_CHARACTERS = 40_000
MAX_LINE_CHARACTERS = 400


class Excerpt(NamedTuple):
    """The rendered text, the characters of the source, and how many of them are shown."""

    text: str
    characters: int
    shown: int


def render_excerpt(files: Sequence[tuple[str, bytes]], max_characters: int = MAX_CHARACTERS) -> Excerpt:
    """Render the files in order, until the space is used up.

    Args:
        files: suffix and bytes of each.
    """
    parts: list[str] = []
    characters, shown, room = 0, 0, max_characters
    for file_number, (suffix, content) in enumerate(files, start=1):
        cells = " (code cells of a notebook)" if suffix == ".ipynb" else ""
        parts.append(f"-- file {file_number} of {len(files)}{cells}")
        text = _decode(suffix, content)
        characters += len(text)
        lines = text.split("\n")
        for number, line in enumerate(lines, start=1):
            cut = f"… ({len(line)} characters)" if len(line) > MAX_LINE_CHARACTERS else ""
            numbered = f"{number:4d}| {escape_unprintable(line[:MAX_LINE_CHARACTERS])}{cut}"
            room -= len(numbered) + 1
            if room < 0:
                parts.append(f"-- {len(lines) - number + 1} lines are omitted here")
                break
            parts.append(numbered)
            shown += min(len(line), MAX_LINE_CHARACTERS)
    return Excerpt("\n".join(parts), characters, shown)


def _decode(suffix: str, content: bytes) -> str:
    text = content.decode("utf-8-sig", "replace")
    if suffix == ".ipynb":
        with contextlib.suppress(ValueError):
            # Outputs are long and not the student's code.
            text = "\n\n".join(read_code_cells(text))
    return text.replace("\r\n", "\n").replace("\r", "\n")
