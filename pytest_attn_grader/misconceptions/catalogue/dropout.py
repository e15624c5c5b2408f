"""Dropout: on the weights, in training, and nowhere else.

Random numbers cannot be compared one by one, so these mistakes are recognised by their traces: what was dropped is
exactly 0, and what was kept is larger by 1 / (1 - p).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from pytest_attn_grader.attention.probes import real_rows
from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.observations import Recognition, SubmissionObservations
from pytest_attn_grader.misconceptions.stages import Inputs, drop_weights, unchanged
from pytest_attn_grader.misconceptions.training import (
    find_output_factors,
    has_dropped_output,
    has_dropped_scores,
    has_renormalised_rows,
    is_dropped_outside_of_training,
    is_output_dropped_outside_of_training,
)


def _drops_in_eval(case: SubmissionObservations) -> Recognition | None:
    # With a single key the only weight is 1 whatever the formula is: dropped, it says nothing about the rest.
    several_keys = [name for name in case.eval_probes() if case.probes[name].key.shape[-2] > 1]
    found = [name for name in several_keys if is_dropped_outside_of_training(case, name)]
    what = "some weights are"
    if not found:
        found = [name for name in several_keys if is_output_dropped_outside_of_training(case, name)]
        what = "single numbers of the output are"
    if not found:
        return None
    # Small probes may come through by luck, and gradients are those of the dropped weights.
    everywhere = "basic" in found and case.probes["basic"].dropout_p == 0
    explained = (
        case.everything()
        if everywhere
        else case.all_of(*found, *(name for name in case.eval_probes() if name not in several_keys))
    )
    return Recognition(explained, f"{what} exactly 0 and the others enlarged, although training is off")


@misconception(
    "AG801",
    "dropout-eval",
    replaces="drop",
    family="dropout",
    probe="basic-eval",
    by_numbers=False,
    recognise=_drops_in_eval,
)
def dropout_eval(attn_weights: Tensor, inputs: Inputs) -> Tensor:
    """drops weights, or numbers of the output, outside of training too.

    Dropout is noise for training; in use a model should answer the same question the same way. F.dropout(x, p) drops
    always, because its argument training defaults to True; so does a new nn.Dropout that was not put into eval mode.

    Bad:
        attn_weights = F.dropout(attn_weights, p=0.1)
    Good:
        attn_weights = F.dropout(attn_weights, p=dropout_p, training=training)

    Effect: Another answer each time, and a worse one.
    Nudge: Call your function twice with the same tensors, with training=False.
    Fix: Pass training=training to F.dropout.
    """
    return F.dropout(attn_weights, inputs.dropout_p or 0.1)


def _never_drops(case: SubmissionObservations) -> Recognition | None:
    evaluated = case.attempts.get("basic")
    trained = [case.attempts[name] for name in case.train_probes()]
    if evaluated is None or evaluated.attn_output is None:
        return None
    has_shape = evaluated.attn_output.shape == case.probes["basic"].query.shape
    rows = real_rows(evaluated.attn_output, case.probes["basic"]) if has_shape else evaluated.attn_output
    # Neither NaN nor 0 everywhere shows what is dropped.
    if not bool(rows.any()) or (has_shape and not bool(rows.isfinite().all())):
        return None
    if trained and any(not case.equal(evaluated, record) for record in trained):
        factors = find_output_factors(case)
        words = ", ".join(f"by {factor:.4g} with p = {dropout_p:g}" for dropout_p, factor in factors.items())
        evidence = f"in training no weight is 0, and the output is multiplied {words}"
        return Recognition(case.all_of(*case.train_probes()), evidence) if factors else None
    if not trained:
        return None
    return Recognition(case.all_of(*case.train_probes()), "the answer in training equals the one outside of it")


@misconception(
    "AG802",
    "dropout-missing",
    replaces="drop",
    family="dropout",
    probe="basic-train",
    by_numbers=False,
    recognise=_never_drops,
)
def dropout_missing(attn_weights: Tensor, _: Inputs) -> Tensor:
    """takes a dropout probability and drops nothing.

    In training a share dropout_p of the weights is set to 0 at random, so that no head relies on a single token.
    Outside of training nothing is dropped, which is why no evaluation notices when it is missing.

    Bad:
        attn_output = attn_weights @ value
    Good:
        attn_weights = F.dropout(attn_weights, p=dropout_p, training=training)
        attn_output = attn_weights @ value

    Effect: The model overfits earlier than it should.
    Nudge: What does your code do with dropout_p?
    Fix: Drop the weights after the softmax: F.dropout(attn_weights, p=dropout_p, training=training).
    """
    return attn_weights


def _drops_scores(case: SubmissionObservations) -> Recognition | None:
    names = [name for name in case.train_probes() if has_dropped_scores(case, name)]
    first, again = case.attempts.get("basic"), case.attempts.get("basic-again")
    if any(has_renormalised_rows(case, name) for name in names):
        return None
    if not names or (first is not None and again is not None and not case.equal(first, again)):
        return None
    return Recognition(
        case.all_of(*case.train_probes()), "in training rows still sum to 1, with other weights at each call"
    )


@misconception(
    "AG803",
    "dropout-before-softmax",
    replaces="normalise",
    family="dropout",
    probe="basic-train",
    together_with={"drop": unchanged},
    by_numbers=False,
    recognise=_drops_scores,
)
def dropout_before_softmax(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """applies dropout before the softmax, to the scores or to query and key, instead of to the weights.

    Dropout sets what it drops to 0. A weight of 0 is a key that is left out; a *score* of 0 is an average key. A
    blocked score that is dropped comes back to life (or becomes NaN, since 0 times infinity is NaN).

    Bad:
        attn_weights = F.dropout(attn_scores, dropout_p, training).softmax(-1)
    Good:
        attn_weights = F.dropout(attn_scores.softmax(-1), dropout_p, training)

    Effect: In training every token sees the future now and then; outside of it everything looks right.
    Nudge: In training, are there weights on masked keys?
    Fix: Swap the two: softmax first, then dropout.
    """
    return drop_weights(attn_scores, inputs).softmax(dim=-1)


def _drops_output(case: SubmissionObservations) -> Recognition | None:
    names = case.train_probes()
    if not names or not all(has_dropped_output(case, name) for name in names):
        return None
    return Recognition(case.all_of(*names), "in training single numbers of the output are 0, not whole keys")


@misconception(
    "AG804",
    "dropout-on-output",
    replaces="finish",
    family="dropout",
    probe="basic-train",
    together_with={"drop": unchanged},
    by_numbers=False,
    recognise=_drops_output,
)
def dropout_on_output(attn_output: Tensor, inputs: Inputs) -> Tensor:
    """applies dropout to the output instead of the weights.

    Dropping a weight means: in this step, do not look at this token. Dropping numbers of the output means: forget
    single features. Both are noise, but only the first keeps a head from relying on one token. (Many models do both,
    each with a separate dropout.)

    Bad:
        attn_output = F.dropout(attn_weights @ value, dropout_p, training)
    Good:
        attn_output = F.dropout(attn_weights, dropout_p, training) @ value

    Effect: A different model in training than the one that was described.
    Nudge: Which tensor goes through dropout in your code, and which one should?
    Fix: Drop the weights, after the softmax and before the product with value.
    """
    return drop_weights(attn_output, inputs)


def _renormalises(case: SubmissionObservations) -> Recognition | None:
    names = case.train_probes()
    if not names or not all(has_renormalised_rows(case, name) for name in names):
        return None
    return Recognition(
        case.all_of(*names), "in training some weights are 0, and the others of their row sum to 1 again"
    )


@misconception(
    "AG811",
    "dropout-renormalised",
    replaces="drop",
    family="dropout",
    probe="basic-train",
    by_numbers=False,
    recognise=_renormalises,
)
def dropout_renormalised(attn_weights: Tensor, inputs: Inputs) -> Tensor:
    """drops weights and divides every row by what is left of it, instead of all by 1 - dropout_p.

    Dropout divides by 1 - dropout_p, so that a weight keeps its size on average. Divided by the rest of its row, a
    weight depends on which others were dropped, and a row whose large weight is lost is filled up with its small ones.

    Bad:
        attn_weights = attn_weights * keep
        attn_weights = attn_weights / attn_weights.sum(dim=-1, keepdim=True)
    Good:
        attn_weights = attn_weights * keep / (1 - dropout_p)

    Effect: The model trains with another attention than the one it is used with, and a row without any weight is NaN.
    Nudge: After dropout, by which number is a kept weight divided? Is it the same in every row?
    Fix: Divide by 1 - dropout_p, or use F.dropout, and leave the rows as they are.
    """
    if not inputs.training:
        return attn_weights
    kept = attn_weights * (torch.rand_like(attn_weights) >= inputs.dropout_p)
    return kept / kept.sum(dim=-1, keepdim=True).clamp_min(1e-9)
