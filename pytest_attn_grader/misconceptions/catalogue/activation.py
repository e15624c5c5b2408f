"""Activation functions where a projection should stand alone."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from pytest_attn_grader.attention.probes import INPUT_NAMES
from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.stages import Inputs, StageOverride

_OTHERS: tuple[tuple[str, Callable[[Tensor], Tensor]], ...] = (
    ("GELU", F.gelu),
    ("tanh", torch.tanh),
    ("sigmoid", torch.sigmoid),
)


def _before(title: str, function: Callable[[Tensor], Tensor], *names: str) -> StageOverride:
    return StageOverride.of_tensors(function, *names, note=f"{title} of {' and '.join(names)}")


def _after(title: str, function: Callable[[Tensor], Tensor]) -> StageOverride:
    return StageOverride({"finish": lambda attn_output, _: function(attn_output)}, f"{title} of the output")


_VARIANTS = (
    *(_before("ReLU", F.relu, *names) for names in (("query", "key"), ("query",), ("key",), ("value",))),
    *(_before(title, function, *INPUT_NAMES) for title, function in _OTHERS),
    *(_after(title, function) for title, function in (("ReLU", F.relu), *_OTHERS)),
)


@misconception("AG420", "activation-inside", replaces="prepare", family="wiring", variants=_VARIANTS)
def activation_inside(inputs: Inputs) -> Inputs:
    """applies an activation function, as ReLU, to query, key, value or the output.

    The projections of an attention are linear, and softmax is its only nonlinear step. ReLU makes 0 of every negative
    number: half of what a projection says is lost. Activation functions belong into the feed-forward layer.

    Bad:
        query = F.relu(self.q_proj(x))
    Good:
        query = self.q_proj(x)

    Effect: Scores and outputs of other numbers than those that the weights were trained for.
    Nudge: What happens to a negative number on the way from the projection to the scores?
    Fix: Use the projections as they are.
    """
    return inputs.changed(F.relu)
