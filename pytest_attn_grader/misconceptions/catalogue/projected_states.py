"""Mistakes in the states behind query, key and value: those of another tensor, or states that were not projected."""

from __future__ import annotations

import re
from dataclasses import replace

from torch import Tensor

from pytest_attn_grader.misconceptions.base import Recogniser, misconception
from pytest_attn_grader.misconceptions.block_steps import sums_hidden_states
from pytest_attn_grader.misconceptions.observations import Recognition, SubmissionObservations
from pytest_attn_grader.misconceptions.stages import Inputs


def _is_said(words: str) -> Recogniser:
    """Recognise what the call with random projections has found out; see `grading.own_projections`."""

    def recognise(case: SubmissionObservations) -> Recognition | None:
        found = [case.failure_message(name).strip() for name in case.attempts]
        return next((Recognition(case.everything(), text) for text in found if re.search(words, text)), None)

    return recognise


def _takes_hidden_states(case: SubmissionObservations) -> Recognition | None:
    if (found := _is_said("^the hidden states are taken for the value,")(case)) is not None:
        return found
    if not case.probes or not sums_hidden_states(case):
        return None
    return Recognition(case.everything(), "the output is the right weights times the hidden states")


@misconception(
    "AG408",
    "states-for-v",
    replaces="combine",
    family="projections",
    by_numbers=False,
    recognise=_takes_hidden_states,
)
def states_for_v(attn_weights: Tensor, inputs: Inputs) -> Tensor:
    """multiplies the weights with the hidden states instead of the values.

    The values are the hidden states after a separate projection, and only they have the size of a head. The
    projection is made in __init__; its result has to be what the weights are multiplied with.

    Bad:
        attn_output = attn_weights @ x
    Good:
        attn_output = attn_weights @ self.v_proj(x)

    Effect: The right weights, and an output that the value projection has no part in.
    Nudge: Which tensor stands to the right of the last matrix product?
    Fix: Multiply the weights with the values.
    """
    return attn_weights @ inputs.value.detach()


def _ignores_key(case: SubmissionObservations) -> Recognition | None:
    """Wrong only where there are more keys than queries, in a file that takes key or value and never reads it.

    Or another text for the keys has shown it; see `grading.own_projections`.
    """
    if (found := _is_said("^with another text for the keys (the output|the keys|the values)")(case)) is not None:
        return found
    if not case.probes or not case.source.never_reads("key", "value", "keys", "values", "k", "v", "memory", "context"):
        return None
    fewer = [
        name
        for name in case.eval_probes()
        if case.probes[name].query.shape[-2] < case.probes[name].key.shape[-2] or case.probes[name].chunks
    ]
    square = [name for name in case.eval_probes() if name not in fewer and case.attempts[name].failure is None]
    if not fewer or not any(case.matches_reference(name, "output") for name in square):
        return None
    if all(case.attempts[name].failure is None and case.matches_reference(name, "output") for name in fewer):
        return None
    evidence = "it takes the states for key and value as arguments and never reads one of them"
    return Recognition(frozenset(fewer), evidence, frozenset({"answer", "output", "weights", "backward"}))


@misconception(
    "AG410",
    "keys-from-query",
    replaces="prepare",
    family="projections",
    probe="decode",
    by_numbers=False,
    recognise=_ignores_key,
)
def keys_from_query(inputs: Inputs) -> Inputs:
    """makes key or value from the query's states, although it was given states for them.

    A layer that takes query, key and value can attend to another text, or with a cache to more tokens than are asking.
    In self-attention all three are the same tensor, so that it makes no difference which of them is projected.

    Bad:
        key, value = self.k_proj(query), self.v_proj(query)
    Good:
        key, value = self.k_proj(key), self.v_proj(value)

    Effect: Self-attention is right. With a cache, or between two texts, the queries attend to themselves.
    Nudge: Which of your arguments is used where?
    Fix: Apply each projection to its argument: k_proj(key), v_proj(value).
    """
    return replace(inputs, key=inputs.query, value=inputs.query)


@misconception(
    "AG418",
    "missing-bias",
    replaces="prepare",
    family="projections",
    by_numbers=False,
    recognise=_is_said("bias(es)? of .* not added"),
)
def missing_bias(inputs: Inputs) -> Inputs:
    """leaves out the bias of a projection.

    A linear layer computes x @ W + b. Its weight alone, passed to F.linear or multiplied by hand, is only half of the
    layer: the bias stays where it is, and neither is used nor learns.

    Bad:
        value = F.linear(x, self.v_proj.weight)
    Good:
        value = self.v_proj(x)

    Effect: With biases of 0, as after many initialisations, nothing is wrong. With pretrained ones every output is off.
    Nudge: A linear layer has two parameters. Where is each of them used?
    Fix: Call the layer, or pass layer.bias as well.
    """
    return replace(inputs, value=inputs.value - inputs.value.mean(dim=-2, keepdim=True))


@misconception(
    "AG419",
    "values-from-key",
    replaces="prepare",
    family="projections",
    by_numbers=False,
    recognise=_is_said("^with another text as the value"),
)
def values_from_key(inputs: Inputs) -> Inputs:
    """makes the values from the states that it was given for the keys.

    A layer that takes query, key and value has one projection for each. In most calls key and value are the same
    tensor, so that it makes no difference which of them the value projection is applied to. In others they are not:
    where positions are added to the keys alone, for example.

    Bad:
        v = self.v_proj(key)
    Good:
        v = self.v_proj(value)

    Effect: Right in self-attention, wrong wherever keys and values are different tensors; the argument is never read.
    Nudge: Which of your arguments does each projection read?
    Fix: Apply the value projection to the argument for the values.
    """
    return replace(inputs, value=inputs.key)


@misconception(
    "AG424",
    "query-from-key",
    replaces="prepare",
    family="projections",
    probe="decode",
    by_numbers=False,
    recognise=_is_said("^with another text for the keys (the queries|queries and keys)"),
)
def query_from_key(inputs: Inputs) -> Inputs:
    """makes the queries from the states that it was given for the keys.

    The queries belong to the text that is written, and keys and values to the text that is read. In self-attention
    both are the same tensor, so that it makes no difference which of them the query projection is applied to.

    Bad:
        q, k, v = (layer(states) for layer, states in zip(layers, (key, query, value)))
    Good:
        q, k, v = (layer(states) for layer, states in zip(layers, (query, key, value)))

    Effect: Self-attention is right. Between two texts, or with a cache, the text that is read asks the questions.
    Nudge: Which of your arguments does each projection read?
    Fix: Apply the query projection to the states of the queries.
    """
    return replace(inputs, query=inputs.key[..., -inputs.query.shape[-2] :, :])


@misconception(
    "AG425",
    "projection-transposed",
    replaces="prepare",
    family="projections",
    by_numbers=False,
    recognise=_is_said("(is|are) used transposed"),
)
def projection_transposed(inputs: Inputs) -> Inputs:
    """multiplies with a projection's matrix transposed.

    A matrix that is passed to you has the shape (in_features, out_features): multiply from the right, x @ W. The
    weight of nn.Linear has the shape (out_features, in_features), and the layer itself computes x @ weight.T. A square
    matrix fits both ways, so that no exception shows which one is meant.

    Bad:
        output = context @ w_o.T         # w_o: (in_features, out_features)
    Good:
        output = context @ w_o

    Effect: Right shapes, and with the weights of a trained model numbers that mean nothing.
    Nudge: Which axis of each matrix is the one that goes in?
    Fix: Multiply with W as it is given; with nn.Linear call the layer.
    """
    return replace(inputs, query=inputs.query.flip(-1))


@misconception(
    "AG426",
    "output-projection-misplaced",
    replaces="prepare",
    family="projections",
    by_numbers=False,
    recognise=_is_said("output projection is applied (twice|before|to the values)"),
)
def output_projection_misplaced(inputs: Inputs) -> Inputs:
    """applies the output projection twice or in the wrong place.

    The output projection is the last step of the layer, and comes once: after the heads are side by side again,
    (batch, seq, num_heads * head_dim). Where a helper has applied it, its caller must not.

    Bad:
        return self.out_proj(self.merge_heads_and_project(context))
    Good:
        return self.out_proj(self.merge_heads(context))

    Effect: Right weights and right shapes, and an output that the next layer cannot read.
    Nudge: How often does the output of the heads pass through the output projection, and in which shape?
    Fix: Put the heads side by side, and apply the projection once to the result.
    """
    return replace(inputs, value=inputs.value.flip(-1))
