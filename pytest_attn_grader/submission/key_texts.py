"""Forwards that take the text of the keys and values beside the text of the queries, as cross-attention does."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_attn_grader.submission.parameter_names import KEY_TEXTS, looks_like_attention
from pytest_attn_grader.submission.remote.messages import Candidate

_NOTE = "key-text"


def assign_key_text(candidate: Candidate, named: dict[str, str | None]) -> tuple[tuple[str, str], ...]:
    """Take the context of forward(x, context), which has no default, for the hidden states of keys and values.

    Args:
        named: the roles by name so far; those of the two texts are written into it.
    """
    required = [each for each in candidate.parameters if not each.has_default and each.takes_position]
    texts = [
        each.name
        for each in required[1:]
        if named[each.name] is None and each.name.lower().strip("_") in KEY_TEXTS and each.annotation != "int"
    ] or [each.name for each in required[1:] if named[each.name] == "key"]  # forward(query, key)
    given = set(named.values())
    # A loss of x and y is none.
    if len(texts) != 1 or "value" in given or not looks_like_attention(candidate.name):
        return ()
    if "key" in given and named[texts[0]] != "key":
        return ()
    first = required[0].name
    if named[first] not in {None, "hidden_states", "query"}:
        return ()
    named |= {first: "query", texts[0]: "key"}
    return ((_NOTE, f"{texts[0]} is passed the hidden states too: keys and values are made from it"),)


def takes_key_text(notes: Iterable[tuple[str, str]]) -> bool:
    """Whether keys and values are made from another argument than queries are."""
    return any(name == _NOTE for name, _ in notes)
