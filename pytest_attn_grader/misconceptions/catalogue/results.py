"""Results that cannot be used: in the wrong order, or without the last step of a module."""

from __future__ import annotations

from typing import NoReturn

from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.observations import Recognition, SubmissionObservations
from pytest_attn_grader.misconceptions.stages import Inputs


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


def _omits_projection(case: SubmissionObservations) -> Recognition | None:
    return case.raised(
        "its output does not depend on it", "the constructor makes an output projection, and forward does not apply it"
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
