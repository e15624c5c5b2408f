"""Dropout of another amount: how many weights it drops, what it divides the others by, and which it drops together."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from pytest_attn_grader.attention.dropout import Dropout, describe_shared
from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.observations import Recognition, SubmissionObservations
from pytest_attn_grader.misconceptions.stages import Inputs
from pytest_attn_grader.misconceptions.training import find_dropouts, find_output_factors, find_output_shares


def _in_training(case: SubmissionObservations, evidence: str) -> Recognition:
    return Recognition(case.all_of(*case.train_probes()), evidence)


def _independent(case: SubmissionObservations) -> dict[float, Dropout] | None:
    """Dropout with random numbers for every weight, by its probability, with the factor that the weights alone got."""
    found = find_dropouts(case)
    if found is None or len(found) < 2 or any(dropout.shared_by for dropout in found.values()):
        return None
    return found


def _factor(dropout: Dropout, dropout_p: float) -> float:
    """The factor of the kept weights; a module's dropout on the output multiplies by 1 / (1 - p) once more."""
    return dropout.factor * (1 - dropout_p) if dropout.output_share else dropout.factor


def _words(found: dict[float, Dropout]) -> str:
    parts = [
        f"with p = {dropout_p:g} {dropout.share:.0%} of the weights were 0 and the others multiplied by "
        f"{_factor(dropout, dropout_p):.4g}"
        for dropout_p, dropout in sorted(found.items())
    ]
    return "; ".join(parts)


def _is_fixed(found: dict[float, Dropout]) -> bool:
    factors = [_factor(dropout, dropout_p) for dropout_p, dropout in found.items()]
    rate = 1 - 1 / factors[0] if factors[0] > 1.001 else 0.0
    same = max(factors) - min(factors) < 5e-3 * factors[0]
    return same and rate > 0 and all(dropout.has_share(rate) for dropout in found.values())


def _ignores_p(case: SubmissionObservations) -> Recognition | None:
    found = _independent(case)
    return _in_training(case, _words(found)) if found is not None and _is_fixed(found) else None


@misconception(
    "AG805",
    "dropout-fixed-rate",
    replaces="drop",
    family="dropout",
    probe="basic-train",
    by_numbers=False,
    recognise=_ignores_p,
)
def dropout_fixed_rate(attn_weights: Tensor, inputs: Inputs) -> Tensor:
    """drops a fixed share of the weights, whatever dropout_p it is passed.

    The probability is an argument, so that a caller can choose it, 0 for instance. A number that is written into the
    code ignores that choice.

    Bad:
        attn_weights = F.dropout(attn_weights, p=0.1, training=training)
    Good:
        attn_weights = F.dropout(attn_weights, p=dropout_p, training=training)

    Effect: The model is regularised by another amount than its configuration says.
    Nudge: Where does your code use dropout_p?
    Fix: Pass p=dropout_p to F.dropout.
    """
    return F.dropout(attn_weights, 0.1, inputs.training)


def _keeps_p(case: SubmissionObservations) -> Recognition | None:
    found = _independent(case)
    if found is None:
        shares = find_output_shares(case)
        if len(shares) > 1 and all(abs(share - 1 + dropout_p) < 0.05 for dropout_p, share in shares.items()):
            words = " and ".join(f"{share:.0%} with p = {dropout_p:g}" for dropout_p, share in shares.items())
            return _in_training(case, f"of the numbers of the output, {words} were 0 in training")
        return None
    if not all(dropout.has_share(1 - dropout_p) for dropout_p, dropout in found.items()):
        return None
    return _in_training(case, _words(found))


@misconception(
    "AG806",
    "dropout-keeps-p",
    replaces="drop",
    family="dropout",
    probe="basic-train",
    by_numbers=False,
    recognise=_keeps_p,
)
def dropout_keeps_p(attn_weights: Tensor, inputs: Inputs) -> Tensor:
    """keeps weights with probability dropout_p instead of dropping them with it.

    dropout_p is the share that is set to 0; 1 - dropout_p is kept. torch.rand(...) < dropout_p is True for the share
    dropout_p, so as a mask of what is kept it is the wrong way round. With 0.5 both are the same.

    Bad:
        keep = torch.rand_like(attn_weights) < dropout_p
    Good:
        keep = torch.rand_like(attn_weights) >= dropout_p

    Effect: With dropout_p = 0.1 nine weights in ten are lost, and the model hardly learns.
    Nudge: With dropout_p = 0.1, how many weights should be left? Count those that are.
    Fix: Keep where torch.rand_like(attn_weights) >= dropout_p, and divide by 1 - dropout_p; or use F.dropout.
    """
    if not inputs.training:
        return attn_weights
    return attn_weights * (torch.rand_like(attn_weights) < inputs.dropout_p) / max(inputs.dropout_p, 1e-9)


def _divides_by_p(case: SubmissionObservations) -> Recognition | None:
    found = _independent(case)
    if found is None:
        return None
    for dropout_p, dropout in found.items():
        if not dropout.has_share(dropout_p) or abs(_factor(dropout, dropout_p) * dropout_p - 1) > 5e-3:
            return None
    return _in_training(case, _words(found))


@misconception(
    "AG807",
    "dropout-divides-by-p",
    replaces="drop",
    family="dropout",
    probe="basic-train",
    by_numbers=False,
    recognise=_divides_by_p,
)
def dropout_divides_by_p(attn_weights: Tensor, inputs: Inputs) -> Tensor:
    """divides what it keeps by dropout_p instead of 1 - dropout_p.

    What is kept stands in for what was dropped: a share 1 - dropout_p of the weights has to make up for all of them, so
    it is divided by 1 - dropout_p. Divided by dropout_p, with 0.1, every kept weight becomes ten times as large.

    Bad:
        attn_weights = attn_weights * keep / dropout_p
    Good:
        attn_weights = attn_weights * keep / (1 - dropout_p)

    Effect: Outputs in training are several times larger than outside of it.
    Nudge: What do the rows of the weights sum to on average, with dropout and without?
    Fix: Divide by 1 - dropout_p, or use F.dropout, which does.
    """
    if not inputs.training:
        return attn_weights
    return attn_weights * (torch.rand_like(attn_weights) >= inputs.dropout_p) / max(inputs.dropout_p, 1e-9)


def _does_not_rescale(case: SubmissionObservations) -> Recognition | None:
    found = _independent(case)
    if found is None or _is_fixed(found) or _divides_by_p(case) is not None:
        return None
    for dropout_p, dropout in found.items():
        if not dropout.has_share(dropout_p) or abs(_factor(dropout, dropout_p) * (1 - dropout_p) - 1) < 5e-3:
            return None
    return _in_training(case, _words(found))


@misconception(
    "AG808",
    "dropout-no-rescale",
    replaces="drop",
    family="dropout",
    probe="basic-train",
    by_numbers=False,
    recognise=_does_not_rescale,
)
def dropout_no_rescale(attn_weights: Tensor, inputs: Inputs) -> Tensor:
    """drops weights and does not divide the others by 1 - dropout_p.

    With a share dropout_p of the weights set to 0, the rows sum to 1 - dropout_p on average. Dividing what is left by
    1 - dropout_p keeps the sum at 1, so that training and evaluation see outputs of the same size.

    Bad:
        attn_weights = attn_weights * keep
    Good:
        attn_weights = attn_weights * keep / (1 - dropout_p)

    Effect: Outputs are smaller in training than outside of it, and the layers after it learn the wrong size.
    Nudge: What do the rows of the weights sum to on average, with dropout and without?
    Fix: Divide by 1 - dropout_p, or use F.dropout, which rescales.
    """
    if not inputs.training:
        return attn_weights
    return attn_weights * (torch.rand_like(attn_weights) >= inputs.dropout_p)


def _repeats_itself(case: SubmissionObservations) -> Recognition | None:
    names = ("basic", "basic-train", "basic-train-again")
    if not all(name in case.attempts and case.attempts[name].attn_output is not None for name in names):
        return None
    evaluated, first, again = (case.attempts[name] for name in names)
    if not case.equal(first, again) or case.equal(evaluated, first) or find_output_factors(case):
        return None
    return _in_training(case, "two calls in training with different seeds drop the same weights")


@misconception(
    "AG809",
    "dropout-same-every-call",
    replaces="drop",
    family="dropout",
    probe="basic-train",
    by_numbers=False,
    recognise=_repeats_itself,
)
def dropout_same_every_call(attn_weights: Tensor, inputs: Inputs) -> Tensor:
    """drops the same weights at every call, because it sets the seed itself or keeps its random mask.

    Dropout works because every step drops something else. A seed that is set inside the function (torch.manual_seed)
    gives the identical random numbers at each call, and resets them for everything else in the process too.

    Bad:
        torch.manual_seed(0)
        attn_weights = F.dropout(attn_weights, p=dropout_p, training=training)
    Good:
        attn_weights = F.dropout(attn_weights, p=dropout_p, training=training)

    Effect: The dropped connections never learn, and no other random number in the program is random any more.
    Nudge: Call it twice in training. Are the zeros in other places the second time?
    Fix: Remove torch.manual_seed from the function, and draw a new random mask at every call.
    """
    generator = torch.Generator().manual_seed(0)
    keep = torch.rand(attn_weights.shape, generator=generator) >= inputs.dropout_p
    return attn_weights * keep / (1 - inputs.dropout_p) if inputs.training else attn_weights


def _shares(case: SubmissionObservations) -> Recognition | None:
    found = find_dropouts(case)
    if found is None:
        return None
    shared = set.intersection(*(set(dropout.shared_by) for dropout in found.values()))
    if not shared:
        return None
    return _in_training(case, f"in training {describe_shared(shared)}")


@misconception(
    "AG810",
    "dropout-shared",
    replaces="drop",
    family="dropout",
    probe="basic-train",
    by_numbers=False,
    recognise=_shares,
)
def dropout_shared(attn_weights: Tensor, inputs: Inputs) -> Tensor:
    """draws one random number for several weights: for all heads, queries, keys or examples together.

    A random mask that is smaller than the weights is broadcast: of the shape (query, key) it takes the same positions
    from every head of every example, of the shape (batch, heads, query, 1) all keys of a query at once. nn.Dropout2d
    takes whole heads. Dropout is meant to be independent for every single weight.

    Bad:
        keep = torch.rand(query_len, key_len) >= dropout_p
    Good:
        keep = torch.rand_like(attn_weights) >= dropout_p

    Effect: Whole positions vanish at once from all heads, which is stronger noise than dropout_p says.
    Nudge: Compare the zeros of two heads in the same training step.
    Fix: Draw the mask in the shape of the weights, torch.rand_like(attn_weights), or use F.dropout.
    """
    keep = torch.rand(attn_weights.shape[-2:], device=attn_weights.device) >= inputs.dropout_p
    return attn_weights * keep / (1 - inputs.dropout_p) if inputs.training else attn_weights
