"""Weights that do not sum to 1, although a softmax was meant, and an online softmax with a wrong correction."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.stages import Inputs, StageOverride, exponentials


def _one_below_the_maximum(attn_scores: Tensor, _: Inputs) -> Tensor:
    numerators = exponentials(attn_scores)
    return numerators / (1 + numerators.sum(dim=-1, keepdim=True))


@misconception(
    "AG218",
    "softmax-plus-one",
    replaces="normalise",
    family="softmax",
    variants=(StageOverride({"normalise": _one_below_the_maximum}, "below each row's maximum"),),
)
def softmax_plus_one(attn_scores: Tensor, _: Inputs) -> Tensor:
    """adds 1 to the sum that softmax divides by (or a key with the score 0, which is then left out).

    With 1 more in the divisor a row sums to less than 1, so that a head can attend to nothing. It is called
    softmax-one or an attention sink, and models that are trained with it need it. This model was trained without.

    Bad:
        attn_weights = exponentials / (1 + exponentials.sum(-1, keepdim=True))
    Good:
        attn_weights = exponentials / exponentials.sum(-1, keepdim=True)

    Effect: Outputs are too small, most of all where no score is high.
    Nudge: What do your rows sum to, and what is in the divisor beside the exponentials of the scores?
    Fix: Divide by the sum of the exponentials alone, or use torch.softmax.
    """
    sink = torch.zeros_like(attn_scores[..., :1])
    return torch.cat([attn_scores, sink], dim=-1).softmax(dim=-1)[..., :-1]


@misconception(
    "AG219",
    "softmax-not-divided",
    replaces="normalise",
    family="softmax",
    variants=(
        StageOverride({"normalise": lambda attn_scores, _: attn_scores.exp()}, "without subtracting the maximum"),
    ),
)
def softmax_not_divided(attn_scores: Tensor, _: Inputs) -> Tensor:
    """takes the exponentials of the scores for the weights and never divides by their sum.

    Softmax is the exponential of every score divided by the sum of its row. An online softmax divides once, at the end,
    by the sum that it has kept all the way: without this last line the output is too large by the sum.

    Bad:
        output = output * correction + block @ value_block
        return output
    Good:
        output = output * correction + block @ value_block
        return output / total

    Effect: Outputs grow with the number of keys.
    Nudge: You add up the exponentials of each row. Where is the sum used?
    Fix: Divide by the sum of the row: exponentials / exponentials.sum(dim=-1, keepdim=True), or output / total.
    """
    return exponentials(attn_scores)
