"""Lists that are read out again, and random strings that repeat: text whose second half is in its first."""

from __future__ import annotations

from .words import FOODS, THINGS, copied_words
from .writer import Prompt, Writer

COPIED_WORDS = copied_words()
LIST_WORDS = THINGS + FOODS
LIST_FRAMES = (
    ("List: ", " Again: "),
    ("{name} wrote a list: ", " {name} read the list: "),
    ("{name} bought ", " In the bag were "),
    ("{name} said, ", " Then {name} said again, "),
    ("First time: ", " Second time: "),
    ("Buy ", " Yes, buy "),
)
OPENINGS = ("Say:", "Words:", "A song:", "They sang:")


def list_copying(writer: Writer) -> Prompt:
    """A list of things and its repetition, broken off before one of its later items."""
    name = writer.people(1)[0]
    first_frame, second_frame = (frame.format(name=name) for frame in writer.pick(LIST_FRAMES))
    items = writer.some(LIST_WORDS, writer.number(3, 8))
    broken_off = writer.number(1, len(items) - 1)
    text = f"{first_frame}{', '.join(items)}.{second_frame}{', '.join(items[:broken_off])},"
    rest = tuple((",", f" {item}") for item in items[broken_off + 1 :])
    return Prompt("list copying", text, f" {items[broken_off]}", rest)


def repeated_string(writer: Writer) -> Prompt:
    """Random words said over and over, broken off inside the second round."""
    words = writer.some(COPIED_WORDS, writer.number(3, 20))
    broken_off = writer.number(min(2, len(words) - 1), len(words) - 1)
    # without an opening the first word would be the one token of the round that has no space before it
    text = writer.pick(OPENINGS) + " ".join(["", *words, *words[:broken_off]])
    rounds = words[broken_off + 1 :] + words * writer.number(0, 2)
    rest = tuple(("", f" {word}") for word in rounds)
    return Prompt("repeated string", text, f" {words[broken_off]}", rest, closing="")
