"""Query heads that share keys and values, and take those of another group."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.stages import Inputs, StageOverride


def group_size(key: Tensor) -> int:
    """The number of heads side by side that have the same keys; ``(batch, num_heads, seq, head_dim)``."""
    same = [torch.equal(key[:, head], key[:, 0]) for head in range(key.shape[1])]
    return same.index(False) if False in same else len(same)


def _taking(choose: Callable[[int, int], list[int]]) -> Callable[[Inputs], Inputs]:
    """Give every query head the key/value head that `choose(num_heads, key_value_heads)` lists for it."""

    def prepare(inputs: Inputs) -> Inputs:
        size = group_size(inputs.key)
        num_heads = inputs.key.shape[1]
        if num_heads % size:
            return inputs
        chosen = choose(num_heads, num_heads // size)
        key, value = (tensor[:, ::size][:, chosen] for tensor in (inputs.key, inputs.value))
        return replace(inputs, key=key, value=value)

    return prepare


def _tiled(num_heads: int, key_value_heads: int) -> list[int]:
    return [head % key_value_heads for head in range(num_heads)]


def _by_number_of_groups(num_heads: int, key_value_heads: int) -> list[int]:
    return [min(head // key_value_heads, key_value_heads - 1) for head in range(num_heads)]


def _next_group(num_heads: int, key_value_heads: int) -> list[int]:
    return [(head * key_value_heads // num_heads + 1) % key_value_heads for head in range(num_heads)]


def _backwards(num_heads: int, key_value_heads: int) -> list[int]:
    return [key_value_heads - 1 - head * key_value_heads // num_heads for head in range(num_heads)]


@misconception("AG441", "groups-tiled", replaces="prepare", family="heads", probe="groups")
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
