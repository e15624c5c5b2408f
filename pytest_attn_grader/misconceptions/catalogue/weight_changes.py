"""Changes of the weights after a right softmax, and random numbers beside dropout."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from pytest_attn_grader.attention.dropout import MIN_WEIGHT, output_weights
from pytest_attn_grader.attention.probes import real_rows
from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.observations import Recognition, SubmissionObservations
from pytest_attn_grader.misconceptions.stages import Inputs, StageOverride, weigh_values

_DROPPED, _FEW = 1e-5, 0.01


def _averaged(attn_weights: Tensor, inputs: Inputs) -> Tensor:
    return attn_weights / inputs.key.shape[-2]


def _averaged_values(attn_weights: Tensor, inputs: Inputs) -> Tensor:
    return weigh_values(_averaged(attn_weights, inputs), inputs)


def _cut_off(attn_weights: Tensor, _: Inputs, *, threshold: float, is_normalised: bool) -> Tensor:
    kept = attn_weights.masked_fill(attn_weights < threshold, 0.0)
    return kept / kept.sum(dim=-1, keepdim=True).clamp_min(1e-9) if is_normalised else kept


def _fit_threshold(case: SubmissionObservations) -> tuple[StageOverride, ...]:
    """The shortest number below which weights are 0, where those that are not are larger than all that are."""
    lost, kept = 0.0, 1.0
    for name in case.eval_probes():
        whole, exact = case.kept_weights(name), case.references[name].attn_weights
        if whole is None or exact is None or whole.shape[-1] == 1:
            continue
        student, right = real_rows(whole.double(), case.probes[name]), real_rows(exact.double(), case.probes[name])
        is_zero = student.abs() < 1e-6
        lost = max(lost, float(right[is_zero].max()) if bool(is_zero.any()) else 0.0)
        kept = min(kept, float(right[~is_zero].min()) if not bool(is_zero.all()) else 1.0)
    if not MIN_WEIGHT < lost < kept:
        return ()
    thresholds = (math.ceil(lost * 10**digits) / 10**digits for digits in range(1, 8))
    threshold = next((each for each in thresholds if lost < each <= kept), kept)
    note = f"those below {threshold:.4g} are set to 0"
    return tuple(
        StageOverride({"reweigh": partial(_cut_off, threshold=threshold, is_normalised=is_normalised)}, note + more)
        for is_normalised, more in ((False, ""), (True, ", and the others sum to 1 again"))
    )


def _power(change: Callable[[Tensor], Tensor], note: str) -> StageOverride:
    return StageOverride({"reweigh": lambda attn_weights, _: change(attn_weights)}, note)


@misconception(
    "AG221",
    "weights-changed",
    replaces="reweigh",
    family="softmax",
    variants=(
        _power(torch.sqrt, "their roots"),
        StageOverride({"reweigh": _averaged}, "divided by the number of keys"),
        StageOverride({"combine": _averaged_values}, "a mean over the keys in place of a sum"),
    ),
    fit=_fit_threshold,
)
def weights_changed(attn_weights: Tensor, _: Inputs) -> Tensor:
    """changes the weights after the softmax: a power, a threshold, a mean in place of a sum.

    Softmax gives shares that sum to 1, and the output is the sum of the values, each times its share. A square or a
    root makes other shares, whose sum is not 1. A threshold takes the small shares away, which together are not small.
    mean(dim=-2) over the products divides by the number of keys once more.

    Bad:
        attn_weights = torch.softmax(attn_scores, dim=-1)
        attn_weights = attn_weights.masked_fill(attn_weights < 0.05, 0.0)
    Good:
        attn_weights = torch.softmax(attn_scores, dim=-1)

    Effect: Outputs are too small or too large, the more so the longer the text is.
    Nudge: What happens to the weights between the softmax and the product with value?
    Fix: Multiply the weights as softmax gives them with value: attn_weights @ value.
    """
    return attn_weights.square()


def _draws(case: SubmissionObservations) -> Recognition | None:
    """Two equal calls differ, the file draws random numbers, and nothing that was dropped is 0."""
    first, again = case.attempts.get("basic"), case.attempts.get("basic-again")
    if first is None or again is None or first.failure is not None or again.failure is not None:
        return None
    probe, output, exact = case.probes["basic"], first.attn_output, case.references["basic"].attn_output
    if output is None or exact is None or output.shape != exact.shape or not case.source.draws_random_numbers():
        return None
    if case.equal(first, again) or case.source.keeps_state() or bool((real_rows(output, probe) == 0).any()):
        return None
    found, right = output_weights(output, probe), output_weights(exact, probe)
    if found is None or right is None:
        return None
    # What is dropped is 0; noise makes a few weights as small as this.
    is_dropped = (found[0].abs() < _DROPPED)[right[0] > MIN_WEIGHT]
    if float(is_dropped.double().mean()) > _FEW:
        return None
    return Recognition(case.everything(), "two equal calls outside of training give different answers")


@misconception("AG812", "random-numbers", replaces="normalise", family="dropout", by_numbers=False, recognise=_draws)
def random_numbers(attn_scores: Tensor, _: Inputs) -> Tensor:
    """computes with new random numbers at every call, outside of training too.

    Attention has no random numbers but those of dropout, and in use none at all: the same text gives the same output.
    Noise on scores or weights (randn_like, gumbel_softmax) changes it at every call, and so does a layer that is made
    inside the call, nn.Linear(...) in forward, because its weights are random and new each time.

    Bad:
        attn_scores = attn_scores + 0.1 * torch.randn_like(attn_scores)
    Good:
        attn_weights = torch.softmax(attn_scores, dim=-1)

    Effect: Another answer each time, and layers that are new at every call never learn.
    Nudge: Call it twice with the same input, with training off, and compare.
    Fix: Remove the noise, and make layers in __init__, as self.q_proj = nn.Linear(...).
    """
    return (attn_scores + 0.1 * torch.randn_like(attn_scores)).softmax(dim=-1)
