"""The shapes of the probes, the most telling ones first.

They are chosen so that no two formulas coincide: three examples with a padding each (the first one too), 3, 5 or 9
heads, 48 or 64 dimensions a head, and a length that differs from both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch


@dataclass(frozen=True)
class ProbeSpec:
    """The shape of a probe; `build_probe` turns it into tensors.

    Args:
        padding: "none", "right" or "left"; every padded example gets another length.
        score_gain: factor on queries, so that attention scores leave the comfortable range.
        gradients: whether a random gradient is sent back through the output.
        group_size: how many query heads share a key and a value.
        chunks: see `Probe`.
    """

    name: str
    title: str
    batch_size: int = 3
    num_heads: int = 5
    query_len: int = 10
    key_len: int = 10
    head_dim: int = 64
    dtype: torch.dtype = torch.float32
    padding: str = "right"
    score_gain: float = 1.0
    gradients: bool = False
    group_size: int = 1
    chunks: tuple[int, ...] = ()


# Explicit and ordered: the first ones are the most telling, and the diagnosis tries them first.
PROBE_SPECS: tuple[ProbeSpec, ...] = (
    ProbeSpec("basic", "three examples of 10 tokens, padded right", gradients=True),
    ProbeSpec("left-padding", "three examples of 10 tokens, padded left", padding="left"),
    ProbeSpec("unpadded", "three examples of 10 tokens", head_dim=48, padding="none", gradients=True),
    ProbeSpec("single", "one example", batch_size=1, num_heads=3, head_dim=48, padding="none", gradients=True),
    ProbeSpec("one-token", "one token", num_heads=3, query_len=1, key_len=1, padding="none"),
    ProbeSpec("square", "as many tokens as the head has dimensions", query_len=64, key_len=64, gradients=True),
    ProbeSpec(
        "long",
        "more tokens than the head has dimensions",
        batch_size=1,
        num_heads=3,
        query_len=97,
        key_len=97,
        padding="none",
    ),
    ProbeSpec(
        "narrow", "nine heads of 16 dimensions", num_heads=9, query_len=7, key_len=7, head_dim=16, gradients=True
    ),
    ProbeSpec("decode", "one new token after nine (a cache in use)", query_len=1, padding="none"),
    ProbeSpec("chunk", "four new tokens after six (a cache in use)", query_len=4, padding="none"),
    ProbeSpec("large-scores", "scores in the hundreds", score_gain=100.0),
    ProbeSpec("bfloat16", "bfloat16 tensors", dtype=torch.bfloat16),
    ProbeSpec("float16", "float16 tensors", dtype=torch.float16),
    ProbeSpec("groups", "groups of two query heads", num_heads=6, padding="none", group_size=2),
    ProbeSpec("multi-query", "one key/value head for all query heads", padding="none", group_size=5),
    ProbeSpec(
        "cache-tokens",
        "29 tokens, then three more one at a time, with the cache",
        query_len=32,
        key_len=32,
        padding="none",
        chunks=(29, 1, 1, 1),
    ),
    ProbeSpec(
        "cache-padded",
        "four tokens padded left, then two more one at a time, with the cache",
        query_len=6,
        key_len=6,
        padding="left",
        chunks=(4, 1, 1),
    ),
    ProbeSpec(
        "cache-chunks",
        "nine tokens in chunks of four, two and three, with the cache",
        query_len=9,
        key_len=9,
        padding="none",
        chunks=(4, 2, 3),
    ),
)
SPEC_BY_NAME: Mapping[str, ProbeSpec] = {spec.name: spec for spec in PROBE_SPECS}
_LONG = SPEC_BY_NAME["long"].key_len
# Two blocks of 128 or 256 and a part of a third: for functions, which set no longest text.
BLOCKS_LEN = 541


def probe_length(name: str, limit: int) -> int | None:
    """The length, in tokens, of a probe whose length depends on the model; None for the others.

    Args:
        limit: the longest text that the model takes, in tokens.
    """
    between = max(0, limit - _LONG) // 3
    lengths = {
        "between-1": min(limit, _LONG) + between,
        "between-2": min(limit, _LONG) + 2 * between,
        "limit": limit,
        "blocks": BLOCKS_LEN,
    }
    return lengths.get(name)


def spec_named(name: str, limit: int, *, for_hidden_states: bool) -> ProbeSpec:
    """The spec of a probe, also of one whose length depends on the model; see `probe_length` and `at_length`."""
    length = probe_length(name, limit)
    if length is None:
        return SPEC_BY_NAME[name]
    return at_length(SPEC_BY_NAME["single"], length, for_hidden_states=for_hidden_states)


def at_length(spec: ProbeSpec, length: int, *, for_hidden_states: bool = False) -> ProbeSpec:
    """A forward-only spec of another length: one example, two heads, so that a long one stays affordable.

    Args:
        for_hidden_states: with heads so large that a module of this width holds as many arbitrary tokens.
    """
    needed = 16 * math.ceil(length / (2 * 16))
    return replace(
        spec,
        name=f"length-{length}",
        title=f"{length} tokens",
        batch_size=1,
        num_heads=2,
        head_dim=max(spec.head_dim, needed) if for_hidden_states else spec.head_dim,
        query_len=length,
        key_len=length,
        padding="none",
        gradients=False,
    )
