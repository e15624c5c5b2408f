"""Mistakes in the norm of query and key, in a model whose layer has one: its axis, its place and its weights.

The rotation that follows a norm is found by trial, which some of these mistakes defeat. Their formulas are then tried
with the rotation of the model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pytest_attn_grader.attention.query_key_norm import Preparation, enlarge, normalise_over
from pytest_attn_grader.attention.rotation import BASE, Pairing, Rotation
from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.catalogue.rotary import rotate_both, with_base_of_model
from pytest_attn_grader.misconceptions.stages import Norm, StageOverride

_PAIRINGS: tuple[Pairing, ...] = ("halves", "neighbours")
_WRONG_AXES = {
    "the heads": (-3,),
    "the positions": (-2,),
    "all heads side by side": (-3, -1),
    "positions and dimensions at once": (-2, -1),
    "heads, positions and dimensions at once": (-3, -2, -1),
}


def _weighted(norm: Callable[[Tensor], Tensor]) -> Norm:
    """Another norm in the place of the right one, with its weights and the rotation after it."""

    def prepare(preparation: Preparation, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        query_weight, key_weight = (weight.to(query) for weight in preparation.weights(query.shape[-1]))
        return preparation.rotate(query_weight * norm(query), key_weight * norm(key))

    return prepare


def _rotated_later(norm: Norm, note: str = "", base: float = BASE) -> tuple[StageOverride, ...]:
    """The same norm before a rotation that the trial cannot have found."""
    found = []
    for rotation in (Rotation(pairing, base) for pairing in _PAIRINGS):
        text = f"pairs: {rotation.pairs}; base {rotation.base:g}"
        stages: dict[str, Callable[..., Any]] = {"norm": norm, "prepare": rotate_both(rotation)}
        found.append(StageOverride(stages, f"{note}; {text}" if note else text))
    return tuple(found)


def _over(axes: tuple[int, ...]) -> Norm:
    return _weighted(lambda states: normalise_over(states, axes))


def _over_heads_or_positions(base: float = BASE) -> tuple[StageOverride, ...]:
    names = ("the heads", "the positions")
    return tuple(form for name in names for form in _rotated_later(_over(_WRONG_AXES[name]), f"over {name}", base))


@misconception(
    "AG461",
    "norm-wrong-axis",
    replaces="norm",
    family="norm",
    normed=True,
    variants=(
        *(StageOverride({"norm": _over(axes)}, f"over {name}") for name, axes in _WRONG_AXES.items()),
        *_over_heads_or_positions(),
    ),
    fit=with_base_of_model(_over_heads_or_positions),
)
def norm_wrong_axis(preparation: Preparation, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    """normalises query and key over the wrong axis.

    A norm divides a vector by its size, and the axis says what the vector is. In most models it is the query or the key
    of one head, so the mean is over head_dim; in some it is all heads side by side. Over positions or over heads the
    sizes of different vectors are mixed.

    Bad:
        mean_square = query.pow(2).mean(dim=1, keepdim=True)   # of (batch, num_heads, seq_len, head_dim)
    Good:
        mean_square = query.pow(2).mean(dim=-1, keepdim=True)

    Effect: A token's query depends on other heads or other tokens, also on later ones where the mean is over positions.
    Nudge: How many numbers does your mean have for one token and one head?
    Fix: Take the mean over the last axis, of the tensor that the model's layer normalises.
    """
    axes = (-1,) if preparation.over == "width" else (-3, -1)
    return _over(axes)(preparation, query, key)


def _forgotten(*, query_too: bool, key_too: bool) -> Norm:
    def prepare(preparation: Preparation, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        normed_query, normed_key = preparation(query, key)
        raw_query, raw_key = preparation.rotate(enlarge(query), enlarge(key))
        return raw_query if query_too else normed_query, raw_key if key_too else normed_key

    return prepare


@misconception(
    "AG462",
    "norm-forgotten",
    replaces="norm",
    family="norm",
    normed=True,
    variants=(
        StageOverride({"norm": _forgotten(query_too=True, key_too=False)}, "of the query, the key is normalised"),
        StageOverride({"norm": _forgotten(query_too=False, key_too=True)}, "of the key, the query is normalised"),
    ),
)
def norm_forgotten(preparation: Preparation, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    """has norms of query and key and does not use them, or one of them only.

    The layer normalises query and key after their projections, so that a score depends on their directions alone. The
    lengths of what the projections give were never used while the model was trained, and they are large.

    Bad:
        query, key = self.q_norm(query), key
    Good:
        query, key = self.q_norm(query), self.k_norm(key)

    Effect: Scores are far too large, and nearly all weight goes to one key.
    Nudge: Which lines of forward call the norms that the constructor makes?
    Fix: Normalise both, after the heads are split and before the rotation.
    """
    return _forgotten(query_too=True, key_too=True)(preparation, query, key)


@misconception("AG463", "norm-after-rotation", replaces="norm", family="norm", normed=True)
def norm_after_rotation(preparation: Preparation, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    """normalises query and key after their rotation instead of before it.

    A rotation leaves the length of a vector as it is, so dividing by the length may come before or after. The learned
    weights of the norm may not: each belongs to one dimension, and a rotation mixes the dimensions of a pair.

    Bad:
        query, key = self.q_norm(rotate(query)), self.k_norm(rotate(key))
    Good:
        query, key = rotate(self.q_norm(query)), rotate(self.k_norm(key))

    Effect: Right as long as all weights of the norm are 1, as in a new model; wrong with trained weights.
    Nudge: Which of the two steps has weights, and for which dimensions were they learned?
    Fix: Normalise first, then rotate.
    """
    axes = (-1,) if preparation.over == "head_dim" else (-3, -1)
    rotated = preparation.rotate(normalise_over(query, axes), normalise_over(key, axes))
    query_weight, key_weight = (weight.to(query) for weight in preparation.weights(query.shape[-1]))
    return query_weight * rotated[0], key_weight * rotated[1]


@misconception("AG464", "norm-unweighted", replaces="norm", family="norm", normed=True)
def norm_unweighted(preparation: Preparation, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    """normalises query and key without the learned weights of the norm.

    The norm of this layer multiplies each dimension by a weight after it has divided by the length. These weights are
    parameters of the trained model. Without them every dimension counts the same.

    Bad:
        query = query * torch.rsqrt(query.pow(2).mean(-1, keepdim=True) + eps)
    Good:
        query = query * torch.rsqrt(query.pow(2).mean(-1, keepdim=True) + eps) * self.weight

    Effect: Right in a new model, where the weights are 1, and wrong in a trained one.
    Nudge: How many parameters does your norm have, and which line multiplies by them?
    Fix: Give each norm a parameter of head_dim numbers and multiply by it, or use nn.RMSNorm(head_dim).
    """
    axes = (-1,) if preparation.over == "head_dim" else (-3, -1)
    return preparation.rotate(normalise_over(query, axes), normalise_over(key, axes))


def _centred(states: Tensor) -> Tensor:
    states = states - states.mean(-1, keepdim=True)
    return states * states.square().mean(-1, keepdim=True).clamp_min(torch.finfo(states.dtype).tiny).rsqrt()


@misconception(
    "AG465",
    "norm-centred",
    replaces="norm",
    family="norm",
    normed=True,
    variants=_rotated_later(_weighted(_centred)),
    fit=with_base_of_model(lambda base: _rotated_later(_weighted(_centred), base=base)),
)
def norm_centred(preparation: Preparation, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    """normalises query and key with LayerNorm, which subtracts the mean, instead of RMSNorm.

    LayerNorm subtracts the mean of a vector before it divides; RMSNorm divides by the root mean square alone. The layer
    was trained with RMSNorm, where the mean of a query counts.

    Bad:
        self.q_norm, self.k_norm = nn.LayerNorm(head_dim), nn.LayerNorm(head_dim)
    Good:
        self.q_norm, self.k_norm = nn.RMSNorm(head_dim), nn.RMSNorm(head_dim)

    Effect: Every score changes a little, because one direction of each query and key is lost.
    Nudge: What is the mean of your query after the norm?
    Fix: Use nn.RMSNorm, which does not subtract the mean.
    """
    return _weighted(_centred)(preparation, query, key)


def _with_weights_of(query_from: int, key_from: int) -> Norm:
    def prepare(preparation: Preparation, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        axes = (-1,) if preparation.over == "head_dim" else (-3, -1)
        weights = [weight.to(query) for weight in preparation.weights(query.shape[-1])]
        return preparation.rotate(
            weights[query_from] * normalise_over(query, axes), weights[key_from] * normalise_over(key, axes)
        )

    return prepare


@misconception(
    "AG466",
    "norm-weights-swapped",
    replaces="norm",
    family="norm",
    normed=True,
    variants=(
        StageOverride({"norm": _with_weights_of(0, 0)}, "both by the query's"),
        StageOverride({"norm": _with_weights_of(1, 1)}, "both by the key's"),
    ),
)
def norm_weights_swapped(preparation: Preparation, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    """normalises the query with the norm of the key, or the key with that of the query.

    Query and key have a norm each, and each norm has its own weights. They were trained apart, and are as different as
    the two projections are.

    Bad:
        query, key = self.q_norm(query), self.q_norm(key)
    Good:
        query, key = self.q_norm(query), self.k_norm(key)

    Effect: Right in a new model, where all weights are 1, and wrong in a trained one.
    Nudge: Which norm does each of the two lines call?
    Fix: Call q_norm for the query and k_norm for the key.
    """
    return _with_weights_of(1, 0)(preparation, query, key)
