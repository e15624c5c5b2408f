"""Results that cannot be used: in the wrong order, no tensors, or without the last step of a module."""

from __future__ import annotations

import re
from typing import NoReturn

from torch import Tensor

from pytest_attn_grader.attention.probes import Probe, real_rows
from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.observations import Recognition, SubmissionObservations
from pytest_attn_grader.misconceptions.stages import Inputs

_SAME = 1e-3
# Probes whose tolerance hides small errors.
SHORT_DTYPES = frozenset({"bfloat16", "float16"})


def _swaps_results(case: SubmissionObservations) -> Recognition | None:
    return case.raised("the order of the returned values is swapped", "the first value has the shape of the weights")


@misconception(
    "AG010", "results-swapped", replaces="prepare", family="broken", by_numbers=False, recognise=_swaps_results
)
def results_swapped(_: Inputs) -> NoReturn:
    """returns the weights first and the output second.

    The caller takes the first value for the output and hands it to the next layer. Both are tensors, so that Python
    cannot see the difference.

    Bad:
        return attn_weights, attn_output
    Good:
        return attn_output, attn_weights

    Effect: The model gets weights where it expects vectors.
    Nudge: In which order does your function return its results?
    Fix: Write return attn_output, attn_weights.
    """
    raise TypeError("the order of the returned values is swapped")


# Neither None and numpy's arrays (other mistakes) nor tensors of a kind that the grader does not take.
_NO_TENSOR = re.compile(r"the function returned (?!None|ndarray|a \w+ tensor)(.{1,60})")
_MADE_BY = {"generator": ": yield makes one of a function", "coroutine": ": async def makes one of a function"}


def _returns_no_tensor(case: SubmissionObservations) -> Recognition | None:
    found = next(filter(None, (_NO_TENSOR.search(case.failure_message(name)) for name in case.attempts)), None)
    if found is None:
        return None
    kind, _, shown = found[1].partition(":")
    what = f"a {kind}{_MADE_BY[kind]}" if kind in _MADE_BY else f"{kind}:{shown}" if shown else kind
    return case.raised("the function returned", f"the function returned {what}")


@misconception(
    "AG015", "returns-no-tensor", replaces="prepare", family="broken", by_numbers=False, recognise=_returns_no_tensor
)
def returns_no_tensor(_: Inputs) -> NoReturn:
    """returns something that is not a tensor.

    The next layer computes with the result, so it has to be a tensor, or a tuple whose first part is one. A function
    with yield returns a generator, one with async def a coroutine: both are computations that have not run yet.

    Bad:
        for head in range(num_heads):
            yield weights[:, head] @ value[:, head]
    Good:
        return weights @ value

    Effect: There is nothing that the model could compute with.
    Nudge: Which type has what your function returns?
    Fix: Return attn_output as one tensor; torch.stack joins the tensors of several heads.
    """
    raise TypeError("the function returned generator")


def _omits_projection(case: SubmissionObservations) -> Recognition | None:
    made = case.raised(
        "its output does not depend on it", "the constructor makes an output projection, and forward does not apply it"
    )
    return made or case.raised(
        "the output projection has no part in it", "the output is that of the heads side by side, not multiplied by W_o"
    )


@misconception(
    "AG011",
    "output-projection-unused",
    replaces="prepare",
    family="broken",
    by_numbers=False,
    recognise=_omits_projection,
)
def output_projection_unused(_: Inputs) -> NoReturn:
    """never applies its output projection.

    Each head writes its output into separate columns. The output projection mixes them, and in a trained model it is
    a part of what the layer has learned. A layer that is made in __init__ does nothing until forward calls it.

    Bad:
        return context.reshape(batch, seq, d_model)
    Good:
        return self.out_proj(context.reshape(batch, seq, d_model))

    Effect: The right weights, and an output that the next layer cannot read.
    Nudge: Which layers does __init__ make, and where is each of them called?
    Fix: Apply the output projection to the heads side by side, and return its result.
    """
    raise TypeError("its output does not depend on it")


def name_returned_tensor(returned: Tensor, exact: Tensor, probe: Probe) -> str | None:
    """Name what is returned in the place of the weights, of the same shape; None where it is nothing known."""
    query, key = (tensor.double() for tensor in probe.prepared)
    products = query @ key.transpose(-2, -1)
    scores = products / query.shape[-1] ** 0.5
    kept = real_rows(probe.keep_mask.expand(exact.shape), probe)
    for what, tensor in (
        ("the scores, before softmax", scores),
        ("the scores, before they are scaled", products),
        ("the weights without the mask", scores.softmax(-1)),
        ("the logarithm of the weights", exact.double().log()),
        ("the transposed weights", exact.double().transpose(-2, -1)),
    ):
        if tensor.shape == returned.shape:
            difference = (real_rows(returned.double(), probe) - real_rows(tensor, probe))[kept]
            if bool(difference.isfinite().all()) and float(difference.abs().max()) < _SAME:
                return what
    return None


def _returns_no_weights(case: SubmissionObservations) -> Recognition | None:
    """The outputs are right, and what comes with them is a known step on the way to the weights."""
    names = [name for name in case.eval_probes() if case.attempts[name].weights_returned]
    judged = [name for name in names if name not in SHORT_DTYPES]
    if "basic" not in names or not all(case.matches_reference(name, "output") for name in judged):
        return None
    returned, exact = case.attempts["basic"].attn_weights, case.references["basic"].attn_weights
    if returned is None or exact is None or returned.shape != exact.shape or case.matches_reference("basic", "weights"):
        return None
    what = name_returned_tensor(returned, exact, case.probes["basic"])
    return None if what is None else Recognition(case.everything(), f"it returns {what}", frozenset({"weights"}))


@misconception(
    "AG014", "returns-no-weights", replaces="reweigh", family="wiring", by_numbers=False, recognise=_returns_no_weights
)
def returns_no_weights(attn_weights: Tensor, _: Inputs) -> Tensor:
    """returns another tensor in the place of the attention weights.

    The second result shows where the model looks: the weights that the values are multiplied with, after mask and
    softmax. Every row of them sums to 1.

    Bad:
        return attn_weights @ value, attn_scores
    Good:
        return attn_weights @ value, attn_weights

    Effect: The model is right, and every picture of its attention is wrong.
    Nudge: Do the rows of your second result sum to 1, with 0 for each blocked key?
    Fix: Return the tensor that is multiplied with the values.
    """
    return attn_weights.log()
