"""Attention cut into stages, so that a mistake is the stage it replaces and two mistakes can be put together.

    norm -> prepare -> score -> scale -> mask -> normalise -> reweigh -> drop -> combine -> finish

`norm` is run, before the attention is called, on probes whose query and key are to be normalised.
`StagedAttention()` is correct attention. `prepare` and `finish` are lists, because two mistakes there can
follow one another; every other stage exists once, so two mistakes in it exclude each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pytest_attn_grader.attention.probes import INPUT_NAMES
from pytest_attn_grader.attention.query_key_norm import Preparation
from pytest_attn_grader.attention.reference import steps_back


@dataclass(frozen=True)
class Inputs:
    """Inputs of every stage.

    Attributes:
        fill: the value that blocked scores get (-inf, or the dtype's smallest).
        chunk_starts: with a cache, the first token of each call so far, the present one included; else empty.
        sliding_window: how many keys, its own included, a query sees at most; None for all of the past.
        full_keep_mask: the keep mask without the window; None where there is no window.
    """

    query: Tensor  # (batch, num_heads, query_len, head_dim)
    key: Tensor  # (batch, num_heads, key_len, head_dim)
    value: Tensor  # (batch, num_heads, key_len, head_dim)
    keep_mask: Tensor  # (batch, 1, query_len, key_len), bool, True = may attend
    fill: float
    dropout_p: float = 0.0
    training: bool = False
    chunk_starts: tuple[int, ...] = ()
    sliding_window: int | None = None
    full_keep_mask: Tensor | None = None

    def changed(self, change: Callable[[Tensor], Tensor], names: Sequence[str] = INPUT_NAMES) -> Inputs:
        """The same with these of its tensors changed."""
        tensors = {name: change(getattr(self, name)) for name in names}
        return replace(self, **tensors)  # type: ignore[arg-type]  # the names are those of tensors

    @property
    def root(self) -> float:
        """The square root of head_dim."""
        return math.sqrt(self.query.shape[-1])

    @property
    def distances(self) -> Tensor:
        """Tokens from a key to a later query, ``(query_len, key_len)``; the last query is at the last key."""
        return steps_back(self.query.shape[-2], self.key.shape[-2], device=self.query.device)

    def is_near(self, window: int | None) -> Tensor:
        """Whether a key is inside a window of so many keys, ``(query_len, key_len)``; the future is."""
        return self.distances < (self.key.shape[-2] if window is None else window)

    @property
    def mask_without_window(self) -> Tensor:
        """The keep mask of a layer that sees all of the past."""
        return self.keep_mask if self.full_keep_mask is None else self.full_keep_mask


Norm = Callable[[Preparation, Tensor, Tensor], tuple[Tensor, Tensor]]
Prepare = Callable[[Inputs], Inputs]
Score = Callable[[Inputs], Tensor]
Step = Callable[[Tensor, Inputs], Tensor]


def unchanged(tensor: Tensor, _: Inputs) -> Tensor:
    """The stage that does nothing."""
    return tensor


def dot_products(inputs: Inputs) -> Tensor:
    return inputs.query @ inputs.key.transpose(-2, -1)


def divide_by_root(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    return attn_scores / inputs.root


def fill_blocked(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    return attn_scores.masked_fill(~inputs.keep_mask, inputs.fill)


def fill_later(attn_scores: Tensor, _: Inputs) -> Tensor:
    """Block what comes later on the last axis, whatever the last two axes stand for."""
    keep = torch.ones_like(attn_scores, dtype=torch.bool).tril()
    return attn_scores.masked_fill(~keep, torch.finfo(attn_scores.dtype).min)


def softmax_over_keys(attn_scores: Tensor, _: Inputs) -> Tensor:
    return attn_scores.softmax(dim=-1)


def exponentials(attn_scores: Tensor) -> Tensor:
    """exp of the scores below the maximum of their row: what softmax divides by its sum."""
    return (attn_scores - attn_scores.amax(dim=-1, keepdim=True)).exp()


def drop_weights(attn_weights: Tensor, inputs: Inputs) -> Tensor:
    return F.dropout(attn_weights, inputs.dropout_p, inputs.training)


def weigh_values(attn_weights: Tensor, inputs: Inputs) -> Tensor:
    return attn_weights @ inputs.value


@dataclass(frozen=True)
class StagedAttention:
    """An attention function made of stages (`AttentionFunction` of `probes`)."""

    norm: Norm = Preparation.__call__
    prepare: tuple[Prepare, ...] = ()
    score: Score = dot_products
    scale: Step = divide_by_root
    mask: Step = fill_blocked
    normalise: Step = softmax_over_keys
    reweigh: Step = unchanged
    drop: Step = drop_weights
    combine: Step = weigh_values
    finish: tuple[Step, ...] = ()
    infinite_fill: bool = False
    has_zero_rows: bool = False
    chunk_starts: tuple[int, ...] = ()
    sliding_window: int | None = None
    full_keep_mask: Tensor | None = None

    def __call__(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        keep_mask: Tensor | None = None,
        *,
        dropout_p: float = 0.0,
        training: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        if keep_mask is None:
            keep_mask = torch.ones(
                query.shape[0], 1, query.shape[2], key.shape[2], dtype=torch.bool, device=query.device
            )
        fill = float("-inf") if self.infinite_fill else torch.finfo(query.dtype).min
        context = (self.chunk_starts, self.sliding_window, self.full_keep_mask)
        inputs = Inputs(query, key, value, keep_mask, fill, dropout_p, training, *context)
        for prepare in self.prepare:
            inputs = prepare(inputs)
        attn_scores = self.mask(self.scale(self.score(inputs), inputs), inputs)
        attn_weights = self.weigh(self.normalise(attn_scores, inputs), inputs)
        attn_output = self.combine(self.drop(attn_weights, inputs), inputs)
        for finish in self.finish:
            attn_output = finish(attn_output, inputs)
        return attn_output, attn_weights

    def weigh(self, attn_weights: Tensor, inputs: Inputs) -> Tensor:
        """The weights after `reweigh`; where rows without a key are 0, as scaled_dot_product_attention's, those are."""
        attn_weights = self.reweigh(attn_weights, inputs)
        if self.has_zero_rows and attn_weights.shape[-2:] == inputs.keep_mask.shape[-2:]:
            return attn_weights.masked_fill(~inputs.keep_mask.any(-1, keepdim=True), 0.0)
        return attn_weights


@dataclass(frozen=True, eq=False)
class StageOverride:
    """The stages a mistake replaces, by name; `note` says which variant of the mistake it is ("by sqrt(query_len)")."""

    stages: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    note: str = ""

    @classmethod
    def of_tensors(cls, change: Callable[[Tensor], Tensor], *names: str, note: str | None = None) -> StageOverride:
        """The change of these tensors before the attention; the note is their names unless another is given."""
        stage = partial(Inputs.changed, change=change, names=names)
        return cls({"prepare": stage}, " and ".join(names) if note is None else note)

    def combine(self, other: StageOverride) -> StageOverride | None:
        """Both mistakes in one attention; None when they replace the same stage."""
        shared = self.stages.keys() & other.stages.keys()
        if shared - _LISTS:
            return None
        stages = {**self.stages, **other.stages}
        for name in shared:
            stages[name] = _both(name, self.stages[name], other.stages[name])
        return StageOverride(stages, "; ".join(filter(None, (self.note, other.note))))

    def pipeline(self, *, infinite_fill: bool = False, has_zero_rows: bool = False) -> StagedAttention:
        stages = {name: (stage,) if name in _LISTS else stage for name, stage in self.stages.items()}
        fills = {"infinite_fill": infinite_fill, "has_zero_rows": has_zero_rows}
        return replace(StagedAttention(), **fills, **stages)  # type: ignore[arg-type]


_LISTS = frozenset({"prepare", "finish"})


def _both(name: str, first: Callable[..., Any], second: Callable[..., Any]) -> Callable[..., Any]:
    if name == "prepare":
        return lambda inputs: second(first(inputs))
    return lambda attn_output, inputs: second(first(attn_output, inputs), inputs)
