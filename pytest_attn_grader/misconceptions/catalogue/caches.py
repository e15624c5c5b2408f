"""Mistakes of modules that keep keys and values of earlier calls; they show where a text comes in several calls."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from pytest_attn_grader.attention.rotation import BASE, Pairing, Rotation, rotate
from pytest_attn_grader.misconceptions.base import ParameterFitter, misconception
from pytest_attn_grader.misconceptions.catalogue.rotary import with_base_of_model
from pytest_attn_grader.misconceptions.observations import Recognition, SubmissionObservations
from pytest_attn_grader.misconceptions.stages import Inputs, StageOverride

# In a message about tensors that do not go together; "dimension 3" is none.
_SIZES = re.compile(r"(?<!dimension )\b\d+\b")
# The last size of each shape in it: of scores and of their mask it is the number of keys.
_SHAPES = re.compile(r"\[(?:\d+, )*(\d+)\]")
PAIRINGS: tuple[Pairing, ...] = ("halves", "neighbours")


def chunks_of(inputs: Inputs) -> list[slice]:
    """The keys of each call so far."""
    stops = (*inputs.chunk_starts[1:], inputs.key.shape[-2])
    return [slice(start, stop) for start, stop in zip(inputs.chunk_starts, stops, strict=True)]


def _by_chunk(inputs: Inputs, change: Callable[[Tensor, int], Tensor]) -> Tensor:
    """The keys, with `change(keys, start)` of those of each call."""
    return torch.cat([change(inputs.key[..., chunk, :], chunk.start) for chunk in chunks_of(inputs)], dim=-2)


def _moved(pairing: Pairing, base: float, where: Callable[[int], int], *names: str) -> Callable[[Inputs], Inputs]:
    """The tokens of each call stand at `where(start)` and after, instead of at `start` and after.

    Args:
        names: "query" or "key", where the positions of the other one are right.
    """
    rotation = Rotation(pairing, base)

    def move(states: Tensor, start: int) -> Tensor:
        back = rotate(states, rotation, backwards=True, first_position=start)
        return rotate(back, rotation, first_position=where(start))

    def prepare(inputs: Inputs) -> Inputs:
        if len(inputs.chunk_starts) < 2:
            return inputs
        query = inputs.query if names == ("key",) else move(inputs.query, inputs.chunk_starts[-1])
        return replace(inputs, query=query, key=inputs.key if names == ("query",) else _by_chunk(inputs, move))

    return prepare


def _restart(pairing: Pairing, base: float = BASE) -> Callable[[Inputs], Inputs]:
    return _moved(pairing, base, lambda _: 0)


def _restart_one(base: float) -> tuple[StageOverride, ...]:
    return tuple(
        StageOverride({"prepare": _moved(pairing, base, lambda _: 0, name)}, f"of the {words} alone")
        for name, words in (("query", "queries"), ("key", "keys"))
        for pairing in PAIRINGS
    )


def _rotate_again(pairing: Pairing, base: float = BASE) -> Callable[[Inputs], Inputs]:
    rotation = Rotation(pairing, base)

    def prepare(inputs: Inputs) -> Inputs:
        def once_a_call(keys: Tensor, start: int) -> Tensor:
            for later in inputs.chunk_starts:
                if later > start:
                    keys = rotate(keys, rotation, first_position=start)
            return keys

        return replace(inputs, key=_by_chunk(inputs, once_a_call)) if inputs.chunk_starts else inputs

    return prepare


def in_both_pairings(make: Callable[[Pairing, float], Callable[[Inputs], Inputs]]) -> ParameterFitter:
    return with_base_of_model(
        lambda base: tuple(StageOverride({"prepare": make(pairing, base)}) for pairing in PAIRINGS)
    )


@misconception(
    "AG451",
    "cache-positions-restart",
    replaces="prepare",
    family="cache",
    probe="cache-tokens",
    rotary=True,
    variants=(StageOverride({"prepare": _restart("neighbours")}), *_restart_one(BASE)),
    fit=with_base_of_model(
        lambda base: (
            *(StageOverride({"prepare": _restart(pairing, base)}) for pairing in PAIRINGS),
            *_restart_one(base),
        )
    ),
)
def cache_positions_restart(inputs: Inputs) -> Inputs:
    """counts positions from 0 again in every call, although tokens of earlier calls are in the cache.

    A token keeps its position, whether the text comes in one call or in many. With ten tokens in the cache, the next
    one is number 10. Counted from 0 it is rotated like the first token of the text.

    Bad:
        cos, sin = self.cos[:seq_len], self.sin[:seq_len]
    Good:
        cos, sin = self.cos[past : past + seq_len], self.sin[past : past + seq_len]

    Effect: Whole texts are right. While a model writes, every new token stands at position 0.
    Nudge: Which rows of the tables does the second call take?
    Fix: Begin at the number of tokens in the cache.
    """
    return _restart("halves")(inputs)


_WRONG_STARTS: tuple[tuple[str, Callable[[int], int]], ...] = (
    ("the cached tokens are counted twice", lambda start: 2 * start),
    ("one position too far", lambda start: start + 1 if start else 0),
    ("one position too near", lambda start: start - 1 if start else 0),
)


def _shifted(base: float) -> tuple[StageOverride, ...]:
    return tuple(
        StageOverride({"prepare": _moved(pairing, base, where)}, note)
        for note, where in _WRONG_STARTS
        for pairing in PAIRINGS
    )


@misconception(
    "AG454",
    "cache-positions-shifted",
    replaces="prepare",
    family="cache",
    probe="cache-tokens",
    rotary=True,
    variants=_shifted(BASE)[1:],
    fit=with_base_of_model(_shifted),
)
def cache_positions_shifted(inputs: Inputs) -> Inputs:
    """begins to count at a wrong position when tokens of earlier calls are in the cache.

    With ten tokens in the cache, numbers 0 to 9, the next one is number 10. Counted from 11, from 9 or from 20, it
    stands too far from the past, or on the place of another token.

    Bad:
        position = past_length + cache_position      # cache_position counts the past already
    Good:
        position = past_length                       # of the first new token

    Effect: Whole texts are right. While a model writes, new tokens stand at the wrong distance from the old ones.
    Nudge: Which position does the first new token get after a text of ten tokens?
    Fix: Begin at the number of tokens in the cache, counted once.
    """
    result: Inputs = _shifted(BASE)[0].stages["prepare"](inputs)
    return result


@misconception(
    "AG452",
    "cache-rotated-again",
    replaces="prepare",
    family="cache",
    probe="cache-tokens",
    rotary=True,
    variants=(StageOverride({"prepare": _rotate_again("neighbours")}),),
    fit=in_both_pairings(_rotate_again),
)
def cache_rotated_again(inputs: Inputs) -> Inputs:
    """rotates the keys of the cache once more in every call.

    Keys are rotated by their positions once. Where the rotation comes after old and new keys were put together, and
    the result is what is kept, a key turns on with every token that is written.

    Bad:
        key = rotate(torch.cat([past_key, key], dim=-2))
    Good:
        key = torch.cat([past_key, rotate(key)], dim=-2)

    Effect: Whole texts are right. While a model writes, the past moves away, the faster the longer the text is.
    Nudge: How often has the first key been rotated when the fifth token is written?
    Fix: Rotate the new keys only, and then append them to the cache.
    """
    return _rotate_again("halves")(inputs)


def _keeping_calls(number: int) -> Callable[[Inputs], Inputs]:
    """Only the keys of the present call and of so many before it are there."""

    def prepare(inputs: Inputs) -> Inputs:
        if not inputs.chunk_starts:
            return inputs
        first = inputs.chunk_starts[max(0, len(inputs.chunk_starts) - 1 - number)]
        key, value = (tensor[..., first:, :] for tensor in (inputs.key, inputs.value))
        full = None if inputs.full_keep_mask is None else inputs.full_keep_mask[..., first:]
        return replace(inputs, key=key, value=value, keep_mask=inputs.keep_mask[..., first:], full_keep_mask=full)

    return prepare


def _loses_keys(case: SubmissionObservations) -> Recognition | None:
    """One new token fails: a tensor has as many keys as there are, and another those of the last call or two."""
    evidence = ""
    for name in case.attempts:
        lengths = case.probes[name].chunks if case.probes else ()
        message = case.failure_message(name).partition("\n")[0]
        sizes = _SHAPES.findall(message) if "broadcast shape" in message else _SIZES.findall(message)
        numbers = set(map(int, sizes))
        for call in range(1, len(lengths) if set(lengths[1:]) == {1} else 0):
            total, last = sum(lengths[: call + 1]), {1, 1 + lengths[call - 1]}
            if total in numbers and numbers & last - {total}:
                evidence = (
                    f"where there are {total} tokens, a tensor has only the {min(numbers & last)} of the last calls"
                )
    failed = (name for name, record in case.attempts.items() if record.failure and case.probes[name].chunks)
    return Recognition(frozenset(failed), evidence) if evidence else None


@misconception(
    "AG453",
    "cache-forgotten",
    replaces="prepare",
    family="cache",
    probe="cache-tokens",
    recognise=_loses_keys,
    variants=(
        StageOverride({"prepare": _keeping_calls(1)}, "only the keys of the call before are kept, not all of them"),
    ),
)
def cache_forgotten(inputs: Inputs) -> Inputs:
    """loses keys and values of earlier calls, which it was given or should have returned as the cache.

    New queries look at all keys so far. Those of earlier calls have to be put before the new ones, and what is
    returned as the cache has to hold both.

    Bad:
        return self.project(attend(query, key, value)), (key, value)
    Good:
        key, value = torch.cat([past_key, key], dim=-2), torch.cat([past_value, value], dim=-2)
        return self.project(attend(query, key, value)), (key, value)

    Effect: Whole texts are right. While a model writes, every new token knows little or nothing of the text before it.
    Nudge: How many keys are there in the second call?
    Fix: Put the cached keys and values before the new ones, in every call, and return all of them.
    """
    return _keeping_calls(0)(inputs)
