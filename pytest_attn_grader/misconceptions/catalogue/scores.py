"""Scores by another formula than the scaled dot product."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.observations import SubmissionObservations
from pytest_attn_grader.misconceptions.stages import Inputs, StageOverride, dot_products, unchanged


def _cosines(inputs: Inputs) -> Tensor:
    return F.normalize(inputs.query, dim=-1) @ F.normalize(inputs.key, dim=-1).transpose(-2, -1)


def _over_tokens(inputs: Inputs) -> Tensor:
    return F.normalize(inputs.query, dim=-2) @ F.normalize(inputs.key, dim=-2).transpose(-2, -1)


def _fit_cosine(case: SubmissionObservations) -> tuple[StageOverride, ...]:
    """Read the factor (a temperature) off the student's weights."""
    if "basic" not in case.probes:
        return ()
    probe = case.probes["basic"]
    cosines = F.normalize(probe.query.double(), dim=-1) @ F.normalize(probe.key.double(), dim=-1).transpose(-2, -1)
    factor = case.score_factor("basic", cosines)
    if factor is None:
        return ()
    return (
        StageOverride({"score": _cosines, "scale": lambda scores, _: scores * factor}, f"multiplied by {factor:.4g}"),
    )


@misconception(
    "AG123",
    "cosine-scores",
    replaces="score",
    family="scale",
    together_with={"scale": unchanged},
    variants=(
        StageOverride({"score": _cosines}, "scaled too"),
        StageOverride({"score": _over_tokens}, "over the tokens, scaled too"),
        StageOverride({"score": _over_tokens, "scale": lambda scores, inputs: scores * inputs.root}, "over the tokens"),
    ),
    fit=_fit_cosine,
)
def cosine_scores(inputs: Inputs) -> Tensor:
    """normalises query and key to length 1, so that the scores are cosines.

    The length of a query says how sharply it looks, and that of a key how much it wants to be looked at. Divided out,
    only the angle is left, every score lies between -1 and 1, and the weights are nearly even.

    Bad:
        attn_scores = F.normalize(query, dim=-1) @ F.normalize(key, dim=-1).transpose(-2, -1)
    Good:
        attn_scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))

    Effect: Attention becomes too flat, by another factor for every pair of tokens.
    Nudge: What changes in your scores when one query is doubled?
    Fix: Use query and key as they are.
    """
    return _cosines(inputs)


def _layer_normed(tensor: Tensor) -> Tensor:
    return F.layer_norm(tensor, tensor.shape[-1:])


def _rms_normed(tensor: Tensor) -> Tensor:
    return tensor * (tensor.square().mean(-1, keepdim=True) + 1e-6).rsqrt()


def _normed_scores(norm: Callable[[Tensor], Tensor]) -> Callable[[Inputs], Tensor]:
    return lambda inputs: norm(inputs.query) @ norm(inputs.key).transpose(-2, -1)


@misconception(
    "AG124",
    "qk-norm",
    replaces="score",
    family="scale",
    variants=(StageOverride({"score": _normed_scores(_rms_normed)}, "RMSNorm"),),
    normed=False,
)
def qk_norm(inputs: Inputs) -> Tensor:
    """applies LayerNorm (or RMSNorm) to query and key before the scores.

    Some models normalise query and key and are trained with it. The formula here does not, and a model that was trained
    without it gives other weights with it.

    Bad:
        query, key = F.layer_norm(query, (head_dim,)), F.layer_norm(key, (head_dim,))
    Good:
        attn_scores = query @ key.transpose(-2, -1) / math.sqrt(head_dim)

    Effect: The lengths of queries and keys, which the model uses, are lost.
    Nudge: What happens to query and key between the projection and their product?
    Fix: Remove the normalisation of query and key.
    """
    return _normed_scores(_layer_normed)(inputs)


def _elu_features(tensor: Tensor) -> Tensor:
    return F.elu(tensor) + 1


def _linear(
    features: Callable[[Tensor], Tensor], note: str, *, scaled: bool = False, eps: float = 0.0
) -> StageOverride:
    def score(inputs: Inputs) -> Tensor:
        return features(inputs.query) @ features(inputs.key).transpose(-2, -1)

    return StageOverride(
        {
            "score": score,
            "scale": unchanged,
            "mask": lambda scores, inputs: scores * inputs.keep_mask,
            "normalise": lambda scores, _: scores / (scores.sum(-1, keepdim=True) + eps),
        },
        note,
    )


_ELU = _linear(_elu_features, "")


@misconception(
    "AG125",
    "linear-attention",
    replaces="score",
    family="softmax",
    together_with={name: stage for name, stage in _ELU.stages.items() if name != "score"},
    variants=(
        _linear(_elu_features, "with 1e-6 in the divisor", eps=1e-6),
        _linear(F.relu, "relu", eps=1e-6),
        _linear(torch.exp, "exp"),
        _linear(lambda tensor: tensor.softmax(-1), "softmax of query and of key"),
    ),
)
def linear_attention(inputs: Inputs) -> Tensor:
    """computes linear attention, features of query times features of key, instead of a softmax of their products.

    Linear attention replaces exp(q . k) by a product of features, phi(q) . phi(k), so that sums over keys can be shared
    by all queries. It is another function, not a faster way to compute this one.

    Bad:
        attn_weights = phi(query) @ phi(key).transpose(-2, -1)
        attn_weights = attn_weights / attn_weights.sum(-1, keepdim=True)
    Good:
        attn_weights = (query @ key.transpose(-2, -1) / math.sqrt(head_dim)).softmax(-1)

    Effect: Every row is much more even than it should be.
    Nudge: Where in your code is the exponential of a product of query and key?
    Fix: Take the softmax of the scaled dot products.
    """
    return _elu_features(inputs.query) @ _elu_features(inputs.key).transpose(-2, -1)


def _sums(inputs: Inputs) -> Tensor:
    return torch.tanh(inputs.query[..., :, None, :] + inputs.key[..., None, :, :])


@misconception(
    "AG126",
    "additive-scores",
    replaces="score",
    family="scale",
    variants=(
        StageOverride({"score": lambda inputs: _sums(inputs).sum(-1), "scale": unchanged}, "not scaled"),
        StageOverride({"score": lambda inputs: _sums(inputs).mean(-1), "scale": unchanged}, "the mean"),
        StageOverride(
            {"score": lambda inputs: (inputs.query[..., :, None, :] + inputs.key[..., None, :, :]).sum(-1)}, "no tanh"
        ),
    ),
)
def additive_scores(inputs: Inputs) -> Tensor:
    """adds query and key instead of multiplying them (additive attention).

    Bahdanau's attention scores a pair with tanh(query + key). Scaled dot-product attention multiplies them number by
    number and sums: query @ key.transpose(-2, -1).

    Bad:
        attn_scores = torch.tanh(query.unsqueeze(-2) + key.unsqueeze(-3)).sum(-1)
    Good:
        attn_scores = query @ key.transpose(-2, -1) / math.sqrt(head_dim)

    Effect: Scores that have nothing to do with those the model was trained with.
    Nudge: Which operation joins query and key in the formula?
    Fix: Use the matrix product of query and the transposed key.
    """
    return _sums(inputs).sum(-1)


def _distances(inputs: Inputs) -> Tensor:
    return -torch.cdist(inputs.query, inputs.key)


@misconception(
    "AG127",
    "distance-scores",
    replaces="score",
    family="scale",
    variants=(
        StageOverride({"score": lambda inputs: -_distances(inputs).square()}, "squared"),
        StageOverride({"score": lambda inputs: -_distances(inputs).square() / 2}, "half the square"),
        StageOverride({"score": _distances, "scale": unchanged}, "not scaled"),
    ),
)
def distance_scores(inputs: Inputs) -> Tensor:
    """scores a pair by the distance between query and key instead of their product.

    A distance takes the length of the key into account twice: long keys are far from everything. The product rewards
    them.

    Bad:
        attn_scores = -torch.cdist(query, key)
    Good:
        attn_scores = query @ key.transpose(-2, -1) / math.sqrt(head_dim)

    Effect: Other weights than those the model was trained with.
    Nudge: Which measure of likeness does the formula use?
    Fix: Use the matrix product of query and the transposed key.
    """
    return _distances(inputs)


@misconception("AG128", "no-query-key", replaces="score", family="wiring", together_with={"scale": unchanged})
def no_query_key(inputs: Inputs) -> Tensor:
    """uses neither query nor key: every kept key gets the same weight.

    A plain average over the past is a good first step towards attention, not attention. Which tokens matter to a query
    is what query and key decide.

    Bad:
        attn_weights = torch.zeros(query_len, key_len).masked_fill(~mask, float("-inf")).softmax(-1)
    Good:
        attn_scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))

    Effect: Every token looks at all earlier ones equally, whatever they say.
    Nudge: Where do query and key enter your weights?
    Fix: Make the scores from query @ key.transpose(-2, -1).
    """
    return torch.zeros_like(dot_products(inputs))
