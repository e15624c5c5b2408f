"""Render a submission's source for a prompt: shortened, lines numbered, unprintable characters escaped.

Every line of the submission begins with its number, so it cannot imitate a line of the prompt. Control characters, text
directions and invisible tags are escaped.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pytest_attn_grader.reports.escaping import escape_unprintable
from pytest_attn_grader.sandbox.worker.ipython_syntax import read_code_cells

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
        max_characters: space for all numbered lines.
    """
    parts, characters, shown, room = [], 0, 0, max_characters
    for number, (suffix, content) in enumerate(files, start=1):
        text = _decode(suffix, content)
        lines, used, taken = _numbered(text, room)
        parts.append(f"-- file {number} of {len(files)}{' (code cells of a notebook)' if suffix == '.ipynb' else ''}")
        parts += lines
        characters += len(text)
        shown += taken
        room -= used
    return Excerpt("\n".join(parts), characters, shown)


def _decode(suffix: str, content: bytes) -> str:
    text = content.decode("utf-8-sig", "replace")
    if suffix == ".ipynb":
        with contextlib.suppress(ValueError):
            # Outputs are long and not the student's code.
            text = "\n\n".join(read_code_cells(text))
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _numbered(text: str, most: int) -> tuple[list[str], int, int]:
    """Number the lines; of a text that is too long, its beginning and end.

    Returns:
        the lines, their length, and the characters of the text in them.
    """
    lines = text.split("\n")
    numbers = range(len(lines))
    head = _fitting_lines(lines, numbers, most)
    tail: list[str] = []
    if len(head) < len(lines):
        head = _fitting_lines(lines, numbers, most // 2)
        tail = _fitting_lines(lines, numbers[: len(head) - 1 : -1] if head else numbers[::-1], most // 2)[::-1]
    start = len(lines) - len(tail)
    taken = sum(min(len(line), MAX_LINE_CHARACTERS) for line in [*lines[: len(head)], *lines[start:]])
    left_out = start - len(head)
    gap = [f"-- {left_out} lines are omitted here"] if left_out else []
    return [*head, *gap, *tail], sum(len(line) + 1 for line in (*head, *tail)), taken


def _fitting_lines(lines: Sequence[str], numbers: Iterable[int], most: int) -> list[str]:
    """The lines with these numbers, in order, until the space is used up."""
    shown, used = [], 0
    for number in numbers:
        line = lines[number]
        cut = f"… ({len(line)} characters)" if len(line) > MAX_LINE_CHARACTERS else ""
        shown.append(f"{number + 1:4d}| {escape_unprintable(line[:MAX_LINE_CHARACTERS])}{cut}")
        used += len(shown[-1]) + 1
        if used > most:
            return shown[:-1]
    return shown
