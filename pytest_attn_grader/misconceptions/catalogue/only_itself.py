"""Attention in which no token gets anything from another: weights that are the identity, and inputs that come back."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.observations import Recognition, SubmissionObservations
from pytest_attn_grader.misconceptions.stages import Inputs, StageOverride


def _own_key(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    return (inputs.distances == 0).to(inputs.value.dtype).expand(*inputs.query.shape[:-1], -1)


def _top_left(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    rows, columns = inputs.query.shape[-2], inputs.key.shape[-2]
    eye = torch.eye(rows, columns, dtype=inputs.value.dtype, device=inputs.value.device)
    return eye.expand(*inputs.query.shape[:-1], columns)


def _softmax_of_one(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    return attn_scores.masked_fill(inputs.distances != 0, float("-inf"))


@misconception(
    "AG416",
    "only-itself",
    replaces="normalise",
    family="wiring",
    variants=(
        StageOverride({"normalise": _top_left}, "the first query with the first key"),
        StageOverride({"normalise": _own_key, "combine": lambda _, inputs: inputs.value}, "the values as they are"),
        StageOverride({"mask": _softmax_of_one}, "a mask of the diagonal"),
    ),
)
def only_itself(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """lets each token look only at itself: the weights are the identity, and the output is the value.

    Attention is how a token gets at the other tokens. With weight 1 on its own key and 0 on all others the product with
    the values returns each token's own value, and neither the query nor the key is used.

    Bad:
        attn_output = value     # or torch.eye(seq_len) @ value
    Good:
        attn_weights = attn_scores.softmax(dim=-1)
        attn_output = attn_weights @ value

    Effect: No token knows anything of the others, and query and key get no gradient.
    Nudge: Change the first token. Which outputs change?
    Fix: Compute the weights from query and key, and multiply them with the values.
    """
    return _own_key(attn_scores, inputs)


def _is_an_input(case: SubmissionObservations) -> Recognition | None:
    """Every output is the query, or every output is the key, number by number."""
    outputs = {name: record.attn_output for name, record in case.attempts.items() if record.attn_output is not None}
    for which in ("query", "key"):
        if outputs and all(torch.equal(case.probes[name].inputs[which], output) for name, output in outputs.items()):
            return Recognition(case.everything(), f"the output is the {which}")
    return None


@misconception(
    "AG467",
    "returns-an-input",
    replaces="combine",
    family="wiring",
    note="the query",
    recognise=_is_an_input,
    variants=(StageOverride({"combine": lambda _, inputs: inputs.key}, "the keys"),),
)
def returns_an_input(_: Tensor, inputs: Inputs) -> Tensor:
    """returns the query or the keys as they came.

    A scaffold that hands an input back has the right shape and runs. What attention returns is made of the values: each
    token's output is a weighted sum of the values of the tokens that it looks at.

    Bad:
        attn_output = query
    Good:
        attn_output = attn_weights @ value

    Effect: No token knows anything of the others, and the values are not used.
    Nudge: Which tensors is what you return computed from?
    Fix: Return the weights times the values.
    """
    return inputs.query
