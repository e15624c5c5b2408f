"""A writer: a seeded source of choices that keeps training text and held-out text apart."""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from .words import BOYS, NAMES

Split = Literal["train", "held_out"]
Word = TypeVar("Word")

# One pair of words in this many is met in held-out text only, never in training.
HELD_OUT_ONE_IN = 8


def is_held_out_pair(first: str, second: str) -> bool:
    """Whether these two words, in either order, are bound to each other in held-out text only."""
    return zlib.crc32("|".join(sorted((first, second))).encode()) % HELD_OUT_ONE_IN == 0


# A piece of text, and whether it is an answer, which follows from the text before it.
Piece = tuple[str, bool]


@dataclass(frozen=True)
class Prompt:
    """A text that breaks off where only the context tells how it goes on.

    An answer starts with its space and is one token. `more` is how the document goes on: texts and their own answers.
    """

    kind: str
    text: str
    answer: str
    more: tuple[tuple[str, str], ...] = ()
    closing: str = "."

    @property
    def pieces(self) -> list[Piece]:
        """The whole document in pieces, those marked that are answers."""
        continuation = [
            (piece, is_answer) for pair in self.more for piece, is_answer in zip(pair, (False, True), strict=True)
        ]
        return [(self.text, False), (self.answer, True), *continuation, (self.closing, False)]

    @property
    def document(self) -> str:
        """The whole document, as the model is trained on it."""
        return "".join(piece for piece, _ in self.pieces)


class Writer:
    """Random choices for one document. The same seed and split always write the same document."""

    def __init__(self, seed: int, split: Split) -> None:
        # the split is part of the seed, so the two streams are disjoint whatever the numbers are
        self.random = random.Random(f"{split}:{seed}")
        self.split = split

    def pick(self, options: Sequence[Word]) -> Word:
        """One of the options."""
        return options[int(self.random.random() * len(options))]

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.random.random() < probability

    def number(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + int(self.random.random() * (high - low + 1))

    def some(self, options: Sequence[Word], count: int) -> list[Word]:
        """Several different options in random order."""
        return self.random.sample(options, count)

    def people(self, count: int) -> list[str]:
        """Different names. In held-out text the first two are a pair that training text never joins."""
        while True:
            names = self.some(NAMES, count)
            if self.split == "held_out":
                if count < 2 or is_held_out_pair(names[0], names[1]):
                    return names
            elif not any(is_held_out_pair(one, two) for i, one in enumerate(names) for two in names[:i]):
                return names

    def bindings(self, keys: Sequence[str], values: Sequence[str], count: int) -> list[tuple[str, str]]:
        """Different keys, each with another value: all are held-out pairs in held-out text, none in training."""
        while True:
            pairs: list[tuple[str, str]] = []
            used: set[str] = set()
            for key in self.some(keys, count):
                fitting = [
                    value
                    for value in values
                    if value not in used and value != key and is_held_out_pair(key, value) == (self.split == "held_out")
                ]
                if not fitting:
                    break
                value = self.pick(fitting)
                used.add(value)
                pairs.append((key, value))
            if len(pairs) == count:
                return pairs


def he(name: str) -> str:
    """he or she."""
    return "he" if name in BOYS else "she"


def him(name: str) -> str:
    """him or her."""
    return "him" if name in BOYS else "her"


def his(name: str) -> str:
    """his or her."""
    return "his" if name in BOYS else "her"


def capital(sentence: str) -> str:
    """The sentence with a capital letter at its start."""
    return sentence[0].upper() + sentence[1:]
