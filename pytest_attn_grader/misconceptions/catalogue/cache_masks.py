"""Mistakes in the mask of calls that come with a cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.stages import Inputs, StageOverride


def _unmasked(*, only_first: bool, has_mask: bool = False) -> Callable[[Inputs], Inputs]:
    """The tokens of a call with a cache see all of it; padding stays masked.

    Args:
        has_mask: the caller's mask, which is passed where there is padding, hides the future there.
    """

    def prepare(inputs: Inputs) -> Inputs:
        if not inputs.chunk_starts or (only_first and len(inputs.chunk_starts) > 1):
            return inputs
        if has_mask and not bool(inputs.keep_mask[..., -1, :].all()):
            return inputs
        return replace(inputs, keep_mask=inputs.keep_mask[..., -1:, :].expand_as(inputs.keep_mask))

    return prepare


@misconception(
    "AG455",
    "cache-future-seen",
    replaces="prepare",
    family="cache",
    probe="cache-tokens",
    causal=True,
    variants=(
        StageOverride({"prepare": _unmasked(only_first=False)}, "in every call"),
        StageOverride({"prepare": _unmasked(only_first=True, has_mask=True)}, "unless it is given a mask"),
        StageOverride({"prepare": _unmasked(only_first=False, has_mask=True)}, "in every call without a mask"),
    ),
)
def cache_future_seen(inputs: Inputs) -> Inputs:
    """does not mask the future in a call that comes with a cache.

    One new token is the last one: it may see every key, and needs no mask. But a text begins with a prompt, whose
    tokens all come in the first call, with a cache that is still empty. Each of them must see only the tokens up to
    itself, as in training.

    Bad:
        if cache is None:
            attn_scores = attn_scores.masked_fill(~causal, float("-inf"))
    Good:
        if query_len > 1:
            attn_scores = attn_scores.masked_fill(~causal[-query_len:], float("-inf"))

    Effect: Training is right. While a model writes, the tokens of the prompt see the ones after them, and so does all
    that is read from them in later layers.
    Nudge: How many tokens come in the first call with a cache, and what does the first of them see?
    Fix: Mask whenever a call has more than one new token, with or without a cache.
    """
    return _unmasked(only_first=True)(inputs)
