"""A submission's source as text for a model: bounded, every line numbered, nothing in it that cannot be seen.

A line begins with its number, so no line of a submission can be taken for one of ours; and what cannot be seen (other
control characters, directions, tags that only a model reads) is spelled out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pytest_attn_grader.reports.escaping import escape_unprintable

# About 10,000 tokens; no submission in this repository's tests is a tenth as long.
MOST_CHARACTERS = 40_000
MOST_IN_A_LINE = 400


class Excerpt(NamedTuple):
    """What is shown, how long the whole is, and how much of it is shown, in characters of the submission's."""

    text: str
    characters: int
    shown: int


def render_excerpt(files: Sequence[tuple[str, bytes]], most: int = MOST_CHARACTERS) -> Excerpt:
    """The files one after another, the first one with the first right to the room there is.

    Args:
        files: suffix and bytes of each.
        most: characters that all lines of the submission's may take, with their numbers.
    """
    parts, characters, shown, room = [], 0, 0, most
    for number, (suffix, content) in enumerate(files, start=1):
        text = _text_of(suffix, content)
        lines, used, taken = _numbered(text, room)
        parts.append(f"-- file {number} of {len(files)}{' (code cells of a notebook)' if suffix == '.ipynb' else ''}")
        parts += lines
        characters += len(text)
        shown += taken
        room -= used
    return Excerpt("\n".join(parts), characters, shown)


def _text_of(suffix: str, content: bytes) -> str:
    text = content.decode("utf-8-sig", "replace")
    if suffix == ".ipynb":
        text = _code_of_notebook(text)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _code_of_notebook(text: str) -> str:
    """Code alone: pictures and outputs are long, and say nothing about the code."""
    try:
        cells = json.loads(text)["cells"]
        return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    except (ValueError, KeyError, TypeError, RecursionError):
        return text


def _numbered(text: str, most: int) -> tuple[list[str], int, int]:
    """Numbered lines, of both ends where the whole is too long.

    Returns:
        the lines, their length, and how many characters of the text are in them.
    """
    lines = text.split("\n")
    numbers = range(len(lines))
    head = _that_fit(lines, numbers, most)
    tail: list[str] = []
    if len(head) < len(lines):
        head = _that_fit(lines, numbers, most // 2)
        tail = _that_fit(lines, numbers[: len(head) - 1 : -1] if head else numbers[::-1], most // 2)[::-1]
    start = len(lines) - len(tail)
    taken = sum(min(len(line), MOST_IN_A_LINE) for line in [*lines[: len(head)], *lines[start:]])
    left_out = start - len(head)
    gap = [f"-- {left_out} lines are left out here, because there are too many"] if left_out else []
    return [*head, *gap, *tail], sum(len(line) + 1 for line in (*head, *tail)), taken


def _that_fit(lines: Sequence[str], numbers: Iterable[int], most: int) -> list[str]:
    """The lines with these numbers, from the first, as long as there is room for them."""
    shown, used = [], 0
    for number in numbers:
        line = lines[number]
        cut = f"… ({len(line)} characters)" if len(line) > MOST_IN_A_LINE else ""
        shown.append(f"{number + 1:4d}| {escape_unprintable(line[:MOST_IN_A_LINE])}{cut}")
        used += len(shown[-1]) + 1
        if used > most:
            return shown[:-1]
    return shown
