"""Mistakes in the keys and values that a module keeps of earlier calls: other tensors are there than should be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from pytest_attn_grader.attention.rotation import BASE, Pairing, Rotation, rotate
from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.catalogue.caches import chunks_of, in_both_pairings
from pytest_attn_grader.misconceptions.observations import Recognition, SubmissionObservations
from pytest_attn_grader.misconceptions.stages import Inputs, StageOverride

# Key and value of some tokens, and in how many later calls they came from the cache.
Change = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]


def _kept(change: Change, *, present_too: bool = False) -> Callable[[Inputs], Inputs]:
    """Key and value of each earlier call, changed.

    Args:
        present_too: the tokens of the present call as well, and of no first one: they are read back from the cache.
    """

    def prepare(inputs: Inputs) -> Inputs:
        if len(inputs.chunk_starts) < 2:
            return inputs
        chunks, pairs = chunks_of(inputs), []
        for number, chunk in enumerate(chunks):
            key, value = inputs.key[..., chunk, :], inputs.value[..., chunk, :]
            later = (number > 0) if present_too else len(chunks) - 1 - number
            pairs.append(change(key, value, int(later)) if later else (key, value))
        keys, values = zip(*pairs, strict=True)
        return replace(inputs, key=torch.cat(keys, dim=-2), value=torch.cat(values, dim=-2))

    return prepare


def _swapped_each_time(key: Tensor, value: Tensor, later: int) -> tuple[Tensor, Tensor]:
    return (value, key) if later % 2 else (key, value)


def _of_first_example(key: Tensor, value: Tensor, _: int) -> tuple[Tensor, Tensor]:
    return key[:1].expand_as(key), value[:1].expand_as(value)


def _new_ones_first(inputs: Inputs) -> Inputs:
    """The newest keys stand before the others, under a mask for the usual order."""
    if len(inputs.chunk_starts) < 2:
        return inputs
    chunks = chunks_of(inputs)[::-1]
    key, value = (
        torch.cat([tensor[..., chunk, :] for chunk in chunks], dim=-2) for tensor in (inputs.key, inputs.value)
    )
    return replace(inputs, key=key, value=value)


_MIXED = (
    (_kept(lambda key, value, _: (value, key)), "keys and values are swapped"),
    (_kept(lambda key, value, _: (key, key)), "there are keys in the place of the values"),
    (_kept(lambda key, value, _: (key, key), present_too=True), "after the first call keys are added to the values"),
    (_kept(lambda key, value, _: (value, value)), "there are values in the place of the keys"),
    (_kept(_of_first_example), "all examples get those of the first one"),
    (_new_ones_first, "new keys stand before the old ones, and the mask has the old ones first"),
)


@misconception(
    "AG456",
    "cache-mixed-up",
    replaces="prepare",
    family="cache",
    probe="cache-tokens",
    variants=tuple(StageOverride({"prepare": prepare}, note) for prepare, note in _MIXED),
)
def cache_mixed_up(inputs: Inputs) -> Inputs:
    """keeps keys and values of earlier calls in the wrong places.

    The cache is a pair, keys and values, with an axis of examples and one of tokens. What a call writes into it the
    next one must find in the same place: a pair that is returned as (value, key) is read as (key, value).

    Bad:
        present = (value, key)
    Good:
        present = (key, value)

    Effect: Whole texts are right. While a model writes, it looks for old tokens with the wrong vectors.
    Nudge: In which order does a call return the cache, and in which order does the next one unpack it?
    Fix: Write and read the cache in one order, for all examples, with the new tokens last.
    """
    return _kept(_swapped_each_time)(inputs)


def _unrotated(pairing: Pairing, base: float = BASE) -> Callable[[Inputs], Inputs]:
    rotation = Rotation(pairing, base)

    def prepare(inputs: Inputs) -> Inputs:
        past = inputs.chunk_starts[-1] if inputs.chunk_starts else 0
        old, new = inputs.key[..., :past, :], inputs.key[..., past:, :]
        return replace(inputs, key=torch.cat([rotate(old, rotation, backwards=True), new], dim=-2)) if past else inputs

    return prepare


@misconception(
    "AG457",
    "cache-unrotated",
    replaces="prepare",
    family="cache",
    probe="cache-tokens",
    rotary=True,
    variants=(StageOverride({"prepare": _unrotated("neighbours")}),),
    fit=in_both_pairings(_unrotated),
)
def cache_unrotated(inputs: Inputs) -> Inputs:
    """keeps keys before they are rotated, and rotates only the new ones.

    A key is compared with the queries of all later calls, after its rotation. So the cache either holds rotated keys,
    or all keys are rotated again in every call, the old ones by their own positions.

    Bad:
        cache.append(key)
        key = torch.cat([old_keys, rotate(key, past)], dim=-2)
    Good:
        key = rotate(key, past)
        cache.append(key)

    Effect: Whole texts are right. While a model writes, all old tokens seem to stand at position 0.
    Nudge: Has a key been rotated when it is written into the cache?
    Fix: Rotate the new keys, and then write them into the cache.
    """
    return _unrotated("halves")(inputs)


def _joins_wrongly(case: SubmissionObservations) -> Recognition | None:
    """Several calls that pass a cache on fail where tensors are joined, and no call for itself does."""
    text = "Sizes of tensors must match except in dimension"
    names = [name for name in case.attempts if case.probes and text in case.failure_message(name)]
    if not names or not all(case.probes[name].chunks for name in names):
        return None
    line = case.failing_line(names[0])
    evidence = "old and new keys have as many heads and different numbers of tokens, and are joined along another axis"
    return Recognition(frozenset(names), evidence + (f": {line}" if line else ""))


@misconception(
    "AG458",
    "cache-wrong-axis",
    replaces="prepare",
    family="cache",
    probe="cache-tokens",
    by_numbers=False,
    recognise=_joins_wrongly,
)
def cache_wrong_axis(inputs: Inputs) -> Inputs:
    """joins old and new keys along another axis than that of the tokens.

    The new tokens come after the old ones. So the axis of the tokens grows, and every other axis stays as it is: in
    (batch, num_heads, seq, head_dim) it is dim=-2, in (batch, seq, num_heads, head_dim) it is dim=1.

    Bad:
        key = torch.cat([past_key, key], dim=1)      # (batch, num_heads, seq, head_dim)
    Good:
        key = torch.cat([past_key, key], dim=-2)

    Effect: An exception in the second call; where old and new have one length, twice as many heads.
    Nudge: Which axis of the keys is the one of the tokens where you join them?
    Fix: Join along the axis of the tokens.
    """
    return replace(inputs, key=torch.cat([inputs.key, inputs.key], dim=1))


def _leaves_something(case: SubmissionObservations) -> Recognition | None:
    """A text after another one is wrong, although the method that empties the cache was called between them."""
    names = [name for name in case.attempts if "() does not empty the cache" in case.failure_message(name)]
    if not names:
        return None
    return Recognition(frozenset(names), case.failure_message(names[0]).partition(":")[2].strip())


@misconception(
    "AG459",
    "cache-not-reset",
    replaces="prepare",
    family="cache",
    probe="cache-tokens",
    by_numbers=False,
    recognise=_leaves_something,
)
def cache_not_reset(inputs: Inputs) -> Inputs:
    """leaves something of the text before in the cache when it is emptied.

    A call with a cache leaves keys, values and often the number of tokens so far. Before the next text all of it has to
    be as a new module has it, whatever the method that does it is called: what is left counts as a part of that text.

    Bad:
        def reset_cache(self): self.keys = self.values = None
    Good:
        def reset_cache(self): self.keys, self.values, self.position = None, None, 0

    Effect: The first text is right; every later one sees tokens of another text, or counts its positions too far.
    Nudge: Which attributes does a call with a cache change? Which of them does the reset set back?
    Fix: Set all that a call leaves behind to what __init__ sets it to.
    """
    return replace(inputs, key=torch.cat([inputs.key, inputs.key], dim=-2))
