"""Modules that PyTorch cannot make."""

from __future__ import annotations

from typing import NoReturn

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
    found = (case.raised(words, "nn.Module was not initialised") for words in _WORDS)
    return next((finding for finding in found if finding is not None), None)


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
