"""A backward pass that is written by hand and is not the derivative of the forward pass."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from pytest_attn_grader.attention.probes import INPUT_NAMES, Probe
from pytest_attn_grader.attention.reference import reference_attention
from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.observations import Recognition, SubmissionObservations
from pytest_attn_grader.misconceptions.stages import Inputs

_SAME = 1e-3
_ASPECTS = frozenset(INPUT_NAMES)


def _wrong_forms(probe: Probe) -> Mapping[str, list[tuple[str, Tensor]]]:
    """List what people compute in place of the gradients of query, key and value, and what it lacks."""
    assert probe.upstream is not None
    query, key, value = (tensor.double() for tensor in (*probe.prepared, probe.value))
    upstream = probe.upstream.double()
    output, weights = reference_attention(query, key, value, probe.keep_mask)
    assert weights is not None
    of_weights = upstream @ value.transpose(-2, -1)
    right = weights * (of_weights - (upstream * output).sum(-1, keepdim=True))
    forms: dict[str, list[tuple[str, Tensor]]] = {"query": [], "key": [], "value": []}
    root = query.shape[-1] ** 0.5
    of_scores = [
        ("the sum of upstream * output is not subtracted in softmax's part", weights * of_weights),
        (
            "the mean of upstream * output is subtracted in place of the sum in softmax's part",
            weights * (of_weights - (upstream * output).mean(-1, keepdim=True)),
        ),
        ("softmax's part is left out", of_weights),
    ]
    for what, scores in of_scores:
        forms["query"].append((what, scores @ key / root))
        forms["key"].append((what, scores.transpose(-2, -1) @ query / root))
    forms["query"].append(("it is the gradient of key", right.transpose(-2, -1) @ query / root))
    forms["key"].append(("it is the gradient of query", right @ key / root))
    forms["key"].append(("the gradient of the scores is not transposed", right @ query / root))
    forms["value"].append(("the weights are not transposed", weights @ upstream))
    return forms


def _is_same(student: Tensor, other: Tensor) -> bool:
    return student.shape == other.shape and bool((student.double() - other).abs().max() <= _SAME * other.abs().max())


def _describe(name: str, student: Tensor, exact: Tensor, probe: Probe) -> str:
    """Half a sentence about one wrong gradient."""
    factor = float((student.double() * exact).sum() / exact.square().sum())
    if abs(factor) > _SAME and _is_same(student / factor, exact.double()):
        return f"that of {name} is {factor:.4g} times as large as it should be"
    forms = _wrong_forms(probe)[name]
    found = [what for what, tensor in forms if _is_same(student, tensor)]
    return f"that of {name} is wrong" + (f": {found[0]}" if found else "")


def _differentiates_wrongly(case: SubmissionObservations) -> Recognition | None:
    """The forward pass is right everywhere, the file has a hand-written backward, and gradients are wrong."""
    names = [name for name in case.eval_probes() if case.probes[name].upstream is not None]
    if "def backward" not in case.source.text or not names:
        return None
    if not all(case.matches_reference(name, "output") for name in names if case.attempts[name].failure is None):
        return None
    for name in names:
        record, limits = case.attempts[name], case.tolerances[name].tolerance
        parts = []
        for each in INPUT_NAMES:
            gradient, exact = record.gradients.get(each), case.references[name].gradients.get(each)
            if gradient is None or exact is None or gradient.shape != exact.shape:
                continue
            error = (gradient.double() - exact.double()).abs().nan_to_num(float("inf")).max()
            if float(error) > limits.get(each, 0.0):
                parts.append(_describe(each, gradient, exact, case.probes[name]))
        if parts:
            return Recognition(frozenset(case.attempts), "; ".join(parts), _ASPECTS)
    return None


@misconception(
    "AG608", "wrong-backward", replaces="finish", family="grad", by_numbers=False, recognise=_differentiates_wrongly
)
def wrong_backward(attn_output: Tensor, _: Inputs) -> Tensor:
    """computes its gradients in a hand-written backward that is not the derivative of the forward pass.

    With weights P, scores S and an upstream gradient dO: dV = P^T dO, dP = dO V^T, dS = P * (dP - rowsum(dO * O)),
    dQ = dS K / sqrt(head_dim), dK = dS^T Q / sqrt(head_dim). torch.autograd.gradcheck compares a backward with finite
    differences in float64.

    Bad:
        grad_scores = weights * grad_weights
    Good:
        grad_scores = weights * (grad_weights - (grad_output * output).sum(-1, keepdim=True))

    Effect: Every answer is right and the model learns badly or not at all.
    Nudge: Which of the three gradients is wrong? Write down the shapes and factors of its line.
    Fix: Compare each line with the formulas above, and run torch.autograd.gradcheck.
    """
    return attn_output.detach() + torch.zeros_like(attn_output)
