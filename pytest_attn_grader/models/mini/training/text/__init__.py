"""The text `mini` is trained and measured on, written by a generator: no downloaded data.

The same seed always gives the same text. Training and held-out text differ in their seeds *and* in the pairs of words
they join (see `writer.is_held_out_pair`), so a held-out prompt cannot be answered from memory.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping

from .binding import binding
from .copying import list_copying, repeated_string
from .stories import story
from .writer import Piece, Prompt, Split, Writer

__all__ = [
    "DEFAULT_MIX",
    "PROMPT_KINDS",
    "Piece",
    "Prompt",
    "Split",
    "write_document",
    "write_documents",
    "write_marked_documents",
    "write_prompts",
]

PROMPT_KINDS: Mapping[str, Callable[[Writer], Prompt]] = {
    "binding": binding,
    "list copying": list_copying,
    "repeated string": repeated_string,
}
# share of the documents, not of the tokens
DEFAULT_MIX: Mapping[str, float] = {"story": 0.25, "binding": 0.5, "list copying": 0.1, "repeated string": 0.15}


def write_pieces(kind: str, seed: int, split: Split) -> list[Piece]:
    """One document of a kind, "story" or one of `PROMPT_KINDS`, in pieces, those marked that the text before tells."""
    writer = Writer(seed, split)
    return [(story(writer), False)] if kind == "story" else PROMPT_KINDS[kind](writer).pieces


def write_document(kind: str, seed: int, split: Split) -> str:
    """One document of a kind as plain text."""
    return "".join(piece for piece, _ in write_pieces(kind, seed, split))


def draw_kinds(count: int, split: Split, mix: Mapping[str, float], first_seed: int) -> Iterator[tuple[str, int]]:
    """The kind and the seed of this many documents."""
    kinds, shares = list(mix), list(mix.values())
    for seed in range(first_seed, first_seed + count):
        # not the document's own writer: its first choice would be tied to the kind
        yield random.Random(f"kind of {split}:{seed}").choices(kinds, shares)[0], seed


def write_documents(
    count: int, split: Split, *, mix: Mapping[str, float] = DEFAULT_MIX, first_seed: int = 0
) -> Iterator[str]:
    """This many documents, their kinds drawn from the mix."""
    return (write_document(kind, seed, split) for kind, seed in draw_kinds(count, split, mix, first_seed))


def write_marked_documents(
    count: int, split: Split, *, mix: Mapping[str, float] = DEFAULT_MIX, first_seed: int = 0
) -> Iterator[list[Piece]]:
    """The same documents in pieces."""
    return (write_pieces(kind, seed, split) for kind, seed in draw_kinds(count, split, mix, first_seed))


def write_prompts(kind: str, count: int) -> tuple[Prompt, ...]:
    """This many held-out prompts of one of `PROMPT_KINDS`."""
    return tuple(PROMPT_KINDS[kind](Writer(seed, "held_out")) for seed in range(count))
