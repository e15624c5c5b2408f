"""Layers that are used wrongly: made before nn.Module is initialised, or never called."""

from __future__ import annotations

import re
from typing import NoReturn

import torch

from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.observations import Recognition, SubmissionObservations
from pytest_attn_grader.misconceptions.stages import Inputs

_WORDS = (
    "before Module.__init__() call",
    "descriptor '__init__' of 'super' object needs an argument",
    "has no attribute '_parameters'",
    "has no attribute '_modules'",
    "has no attribute '_backward_hooks'",
    "has no attribute '_backward_pre_hooks'",
)


def _misses_super_init(case: SubmissionObservations) -> Recognition | None:
    return case.raised_any(_WORDS, "nn.Module was not initialised")


@misconception(
    "AG012", "missing-super-init", replaces="prepare", family="broken", by_numbers=False, recognise=_misses_super_init
)
def missing_super_init(_: Inputs) -> NoReturn:
    """does not call super().__init__() before it assigns its layers.

    nn.Module keeps parameters and layers in dictionaries that its own __init__ makes. A class with an __init__ has to
    call that one first; without the call, or without its parentheses, there is nowhere to put a layer.

    Bad:
        def __init__(self, d_model, num_heads):
            self.q_proj = nn.Linear(d_model, d_model)
    Good:
        def __init__(self, d_model, num_heads):
            super().__init__()
            self.q_proj = nn.Linear(d_model, d_model)

    Effect: The module cannot be made.
    Nudge: What has to happen in __init__ before the first layer is assigned?
    Fix: Make super().__init__() the first line of __init__.
    """
    raise AttributeError("cannot assign module before Module.__init__() call")


_LAYERS = "Linear|NonDynamicallyQuantizableLinear|Conv1D|LayerNorm|Dropout|Softmax|Sequential|Embedding"
_OBJECT = re.compile(rf"'({_LAYERS})' object (?:has no attribute '(\w+)'|is not (?:subscriptable|iterable))")
_OPERAND = re.compile(rf"must be Tensor, not ({_LAYERS})\b|unsupported operand type\(s\) for .*'({_LAYERS})'")


def _calls_no_layer(case: SubmissionObservations) -> Recognition | None:
    """A complaint about a layer where a tensor would do: it has a tensor's method, or is an operand."""
    for name in case.attempts:
        message = case.failure_message(name).partition("\n")[0]
        found = _OBJECT.search(message)
        if found is not None and found[2] is not None and not hasattr(torch.Tensor, found[2]):
            continue
        found = found or _OPERAND.search(message)
        if found is not None:
            return case.raised(found[0], f"nn.{found[1] or found[2]} stands where a tensor is needed")
    return None


@misconception(
    "AG013", "layer-not-called", replaces="prepare", family="broken", by_numbers=False, recognise=_calls_no_layer
)
def layer_not_called(_: Inputs) -> NoReturn:
    """takes a layer itself for its result.

    nn.Linear is an object that holds weights. It gives a tensor when it is called with one; the object itself has no
    shape, and nothing can be multiplied with it.

    Bad:
        keys = self.k_proj
    Good:
        keys = self.k_proj(x)

    Effect: An exception at the first use.
    Nudge: What is the type of each operand at the line that the exception names?
    Fix: Call the layer with the hidden states.
    """
    raise AttributeError("'Linear' object has no attribute 'transpose'")


def is_about_a_layer(case: SubmissionObservations) -> bool:
    """Whether an exception about a name is one of these two mistakes: the name is right."""
    return _misses_super_init(case) is not None or _calls_no_layer(case) is not None
