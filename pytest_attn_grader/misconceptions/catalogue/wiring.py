"""Mistakes in the wiring of tensors: query, key and value in each other's place."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.observations import SubmissionObservations
from pytest_attn_grader.misconceptions.stages import (
    Inputs,
    StageOverride,
    divide_by_root,
    dot_products,
    drop_weights,
    fill_blocked,
)


@misconception(
    "AG401",
    "k-for-v",
    replaces="combine",
    family="wiring",
    note="the keys",
    variants=(StageOverride({"combine": lambda weights, inputs: weights @ inputs.query}, "the queries"),),
)
def k_for_v(attn_weights: Tensor, inputs: Inputs) -> Tensor:
    """multiplies the weights with the keys, or the queries, instead of the values.

    The weights say *where* to look, and they come from query and key. *What* is taken from there is the value.
    Multiplied with the keys, the weights are right and the output is not, and no gradient reaches the value
    projection.

    Bad:
        attn_output = attn_weights @ key
    Good:
        attn_output = attn_weights @ value

    Effect: The value projection is never used and never learns.
    Nudge: The weights are right. Which tensor are they multiplied with?
    Fix: Write attn_weights @ value.
    """
    return attn_weights @ inputs.key


def _in_order(query: str, key: str, value: str) -> StageOverride:
    def prepare(inputs: Inputs) -> Inputs:
        given = {"q": inputs.query, "k": inputs.key, "v": inputs.value}
        return replace(inputs, query=given[query], key=given[key], value=given[value])

    return StageOverride({"prepare": prepare}, f"{query}, {key}, {value} in the places of q, k, v")


@misconception(
    "AG402",
    "kv-swapped",
    replaces="prepare",
    family="wiring",
    variants=tuple(_in_order(*order) for order in ("vkq", "kvq", "vqk")),
)
def kv_swapped(inputs: Inputs) -> Inputs:
    """takes query, key and value in another order, the value for the key and the key for the value for instance.

    The order is query, key, value. Unpacked in another order the code still runs, because all three have the same
    shape; trained from scratch it would even learn, since then the names are arbitrary. With pretrained weights it
    computes nonsense.

    Bad:
        query, value, key = inputs
    Good:
        query, key, value = inputs

    Effect: Similarities are computed with the values, and the keys are averaged.
    Nudge: Check the order of the three tensors wherever they are unpacked or passed on.
    Fix: Keep the order query, key, value.
    """
    return replace(inputs, key=inputs.value, value=inputs.key)


@misconception("AG403", "qk-swapped", replaces="score", family="wiring")
def qk_swapped(inputs: Inputs) -> Tensor:
    """multiplies key @ query^T instead of query @ key^T.

    Rows of the score matrix belong to queries, columns to keys. With the factors swapped the matrix comes out
    transposed: row i then holds what the other tokens' queries think of key i. Shapes cannot tell, because the matrix
    is square.

    Bad:
        attn_scores = key @ query.transpose(-2, -1)
    Good:
        attn_scores = query @ key.transpose(-2, -1)

    Effect: Each token is asked instead of asking.
    Nudge: Which tensor's rows become the rows of the score matrix?
    Fix: Write query @ key.transpose(-2, -1).
    """
    return inputs.key @ inputs.query.transpose(-2, -1)


@misconception(
    "AG404",
    "q-only",
    replaces="score",
    family="wiring",
    variants=(
        StageOverride({"score": lambda inputs: inputs.key @ inputs.key.transpose(-2, -1)}, "the keys with themselves"),
    ),
)
def q_only(inputs: Inputs) -> Tensor:
    """multiplies the queries with themselves, so that the keys (or the queries) are never used.

    What a token looks for (its query) and what it offers (its key) are two different vectors. query @ query^T compares
    questions with questions; every token then finds itself most similar.

    Bad:
        attn_scores = query @ query.transpose(-2, -1)
    Good:
        attn_scores = query @ key.transpose(-2, -1)

    Effect: The diagonal dominates, and one of the projections gets no gradient.
    Nudge: Which of your three inputs is not used before the softmax?
    Fix: Write query @ key.transpose(-2, -1).
    """
    return inputs.query @ inputs.query.transpose(-2, -1)


@misconception("AG405", "elementwise-qk", replaces="score", family="wiring", probe="square")
def elementwise_qk(inputs: Inputs) -> Tensor:
    """multiplies query and key element by element (*) instead of as matrices (@).

    The score of a query and a key is their dot product: multiply, then sum. The star multiplies without summing, and
    needs equal shapes: it raises unless there are exactly as many tokens as head dimensions, where it is silently
    wrong.

    Bad:
        attn_scores = query * key.transpose(-2, -1)
    Good:
        attn_scores = query @ key.transpose(-2, -1)

    Effect: An exception, or scores that have nothing to do with similarity.
    Nudge: Which operator multiplies matrices in Python?
    Fix: Use @ or torch.matmul.
    """
    return inputs.query * inputs.key.transpose(-2, -1)


@misconception(
    "AG409",
    "qk-not-transposed",
    replaces="score",
    family="wiring",
    probe="square",
    variants=(
        StageOverride({"score": lambda inputs: inputs.query.transpose(-2, -1) @ inputs.key}, "the query is transposed"),
        StageOverride({"score": lambda inputs: inputs.key.transpose(-2, -1) @ inputs.query}, "key^T @ query"),
        StageOverride(
            {"score": lambda inputs: torch.einsum("bhtd,bhte->bhde", inputs.query, inputs.key)},
            "summed over tokens",
        ),
    ),
)
def qk_not_transposed(inputs: Inputs) -> Tensor:
    """multiplies query and key without transposing the key, or transposes the query instead.

    A matrix product sums over the last axis of the first factor and the last but one of the second. Query and key have
    the shape (..., tokens, head_dim), and a score sums over head_dim: so the key's two axes are swapped. With the
    query's swapped instead, the product sums over the tokens and compares dimensions.

    Bad:
        attn_scores = query.transpose(-2, -1) @ key
    Good:
        attn_scores = query @ key.transpose(-2, -1)

    Effect: An exception about sizes, unless there are exactly as many tokens as head dimensions.
    Nudge: Write down the shapes of both factors. Over which axis does the product sum?
    Fix: Write query @ key.transpose(-2, -1).
    """
    return inputs.query @ inputs.key


@misconception("AG406", "weights-transposed", replaces="combine", family="wiring", fill_matters=True)
def weights_transposed(attn_weights: Tensor, inputs: Inputs) -> Tensor:
    """transposes the weights before the product with the values.

    Rows of the weights belong to queries, and each row mixes the values into the output of its query. Transposed,
    token i receives its own value multiplied by how much *later* tokens looked at it, which is the future.

    Bad:
        attn_output = attn_weights.transpose(-2, -1) @ value
    Good:
        attn_output = attn_weights @ value

    Effect: The weights look right, the outputs are wrong, and they depend on the future.
    Nudge: The weights are right. Look at the line that uses them.
    Fix: Write attn_weights @ value, without a transpose.
    """
    return attn_weights.transpose(-2, -1) @ inputs.value


def _unscaled_variants(case: SubmissionObservations) -> tuple[StageOverride, ...]:
    """Only where weights are returned: otherwise nothing says that the right ones were ever computed."""
    first = case.attempts.get("basic")
    if first is None or not first.weights_returned:
        return ()

    def unmasked(_: Tensor, inputs: Inputs) -> Tensor:
        return drop_weights(dot_products(inputs).softmax(-1), inputs) @ inputs.value

    def masked(_: Tensor, inputs: Inputs) -> Tensor:
        return drop_weights(fill_blocked(dot_products(inputs), inputs).softmax(-1), inputs) @ inputs.value

    return StageOverride({"combine": unmasked}, "unscaled and unmasked"), StageOverride({"combine": masked}, "unscaled")


@misconception(
    "AG407",
    "wrong-variable",
    replaces="combine",
    family="wiring",
    variants=(
        StageOverride(
            {"combine": lambda _, inputs: drop_weights(_scaled(inputs), inputs) @ inputs.value}, "without softmax"
        ),
        StageOverride(
            {"combine": lambda _, inputs: drop_weights(_masked(inputs), inputs) @ inputs.value},
            "masked, without softmax",
        ),
    ),
    fit=_unscaled_variants,
)
def wrong_variable(_: Tensor, inputs: Inputs) -> Tensor:
    """computes the right weights, then uses an older variable for the output.

    The returned weights are masked and sum to 1, but the output is made of something computed earlier, before the
    mask or before the softmax. Two names that look alike are enough for that.

    Bad:
        attn_weights = masked_scores.softmax(-1)
        attn_output = scores.softmax(-1) @ value
    Good:
        attn_weights = masked_scores.softmax(-1)
        attn_output = attn_weights @ value

    Effect: Everything one looks at is right, the output is not, and it sees the future.
    Nudge: Is your output really made of the weights that you return?
    Fix: Multiply the final weights with the values; use one name for each step.
    """
    return drop_weights(_scaled(inputs).softmax(-1), inputs) @ inputs.value


def _scaled(inputs: Inputs) -> Tensor:
    return divide_by_root(dot_products(inputs), inputs)


def _masked(inputs: Inputs) -> Tensor:
    return fill_blocked(_scaled(inputs), inputs)
