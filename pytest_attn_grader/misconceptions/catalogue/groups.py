"""Query heads that share keys and values, and take those of another group."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.observations import Recognition, SubmissionObservations
from pytest_attn_grader.misconceptions.stages import Inputs, StageOverride


def group_size(key: Tensor) -> int:
    """The number of heads side by side that have the same keys; ``(batch, num_heads, seq, head_dim)``."""
    same = [torch.equal(key[:, head], key[:, 0]) for head in range(key.shape[1])]
    return same.index(False) if False in same else len(same)


def _taking(choose: Callable[[int, int], list[int]], *names: str) -> Callable[[Inputs], Inputs]:
    """Give every query head the key/value head that `choose(num_heads, key_value_heads)` lists for it.

    Args:
        names: "key" or "value", where one of them is shared rightly.
    """

    def prepare(inputs: Inputs) -> Inputs:
        size = group_size(inputs.key)
        num_heads = inputs.key.shape[1]
        if num_heads % size:
            return inputs
        chosen = choose(num_heads, num_heads // size)
        return inputs.changed(lambda tensor: tensor[:, ::size][:, chosen], names or ("key", "value"))

    return prepare


def _tiled(num_heads: int, key_value_heads: int) -> list[int]:
    return [head % key_value_heads for head in range(num_heads)]


def _by_number_of_groups(num_heads: int, key_value_heads: int) -> list[int]:
    return [min(head // key_value_heads, key_value_heads - 1) for head in range(num_heads)]


def _next_group(num_heads: int, key_value_heads: int) -> list[int]:
    return [(head * key_value_heads // num_heads + 1) % key_value_heads for head in range(num_heads)]


def _backwards(num_heads: int, key_value_heads: int) -> list[int]:
    return [key_value_heads - 1 - head * key_value_heads // num_heads for head in range(num_heads)]


@misconception(
    "AG441",
    "groups-tiled",
    replaces="prepare",
    family="heads",
    probe="groups",
    variants=tuple(
        StageOverride({"prepare": _taking(_tiled, name)}, f"the {name}s alone") for name in ("key", "value")
    ),
)
def groups_tiled(inputs: Inputs) -> Inputs:
    """repeats all key/value heads one after the other instead of each of them side by side.

    With 6 query heads on 3 key/value heads, query heads 0 and 1 share the first key: K0 K0 K1 K1 K2 K2. `repeat` makes
    K0 K1 K2 K0 K1 K2, and all query heads but the first and the last ask the wrong one.

    Bad:
        key = key.repeat(1, group_size, 1, 1)
    Good:
        key = key.repeat_interleave(group_size, dim=1)

    Effect: Nothing raises, and with one key/value head or one for each query head everything is right.
    Nudge: Write down which key your second query head is multiplied with.
    Fix: Use repeat_interleave over the heads, or expand a new axis after them.
    """
    return _taking(_tiled)(inputs)


@misconception(
    "AG442",
    "groups-wrong-head",
    replaces="prepare",
    family="heads",
    probe="groups",
    variants=tuple(
        StageOverride({"prepare": _taking(choose)}, note)
        for note, choose in (
            ("every group takes that of the next one", _next_group),
            ("the key/value heads are taken backwards", _backwards),
        )
    ),
)
def groups_wrong_head(inputs: Inputs) -> Inputs:
    """gives query heads the key/value head of another group.

    Query head h belongs to key/value head h // (num_heads // num_kv_heads). Any other rule sends queries to keys that
    were trained for other heads.

    Bad:
        key = key[:, torch.arange(num_heads) // num_kv_heads]
    Good:
        key = key[:, torch.arange(num_heads) // (num_heads // num_kv_heads)]

    Effect: Heads of one group ask the keys of another; with one key/value head everything is right.
    Nudge: By which number do you divide to find a query head's group?
    Fix: Divide by the size of a group, num_heads // num_kv_heads.
    """
    return _taking(_by_number_of_groups)(inputs)


_SIZES_DIFFER = (
    "must match the size of tensor",
    "first two dimensions of batch2",
    "is invalid for input of size",
    "does not broadcast with previously seen size",
    "must match the existing size",
)


def _meets_fewer_heads(case: SubmissionObservations) -> Recognition | None:
    """Exceptions about sizes wherever there are fewer key/value heads than query heads, and only there."""
    grouped = [name for name in ("groups", "multi-query") if name in case.attempts]
    failed = [name for name in grouped if case.failure_mentions(name, _SIZES_DIFFER)]
    others = [record for name, record in case.attempts.items() if name not in grouped]
    if not failed or any(record.failure is not None for record in others):
        return None
    probe, failure = case.probes[failed[0]], case.attempts[failed[0]].failure
    num_heads, shared = probe.query.shape[1], probe.query.shape[1] // group_size(probe.key)
    line = case.failing_line(failed[0])
    message = "" if failure is None else failure.message.partition("\n")[0]
    evidence = f"with {num_heads} query heads and {shared} key/value heads: {message}" + (
        f" at `{line}`" if line else ""
    )
    return Recognition(frozenset(failed), evidence)


@misconception(
    "AG445",
    "groups-not-repeated",
    replaces="prepare",
    family="heads",
    probe="groups",
    by_numbers=False,
    recognise=_meets_fewer_heads,
)
def groups_not_repeated(inputs: Inputs) -> Inputs:
    """does not repeat the key/value heads for the query heads that share them.

    With 6 query heads on 3 key/value heads, every key/value head serves a group of two query heads. A product of (6,
    query, head_dim) with (3, head_dim, key) fits no batch, and a view of the keys as 6 heads has too few numbers.

    Bad:
        key = self.k_proj(x).view(batch, seq, num_kv_heads, head_dim).transpose(1, 2)
        attn_scores = query @ key.transpose(-2, -1)
    Good:
        key = self.k_proj(x).view(batch, seq, num_kv_heads, head_dim).transpose(1, 2)
        key = key.repeat_interleave(num_heads // num_kv_heads, dim=1)   # value too
        attn_scores = query @ key.transpose(-2, -1)

    Effect: An exception in every model whose query heads share keys and values.
    Nudge: How many heads have query, key and value where they meet?
    Fix: Repeat key and value with repeat_interleave(num_heads // num_kv_heads, dim=1) before the product.
    """
    size = group_size(inputs.key)
    return inputs.changed(lambda tensor: tensor[:, ::size], ("key", "value"))
