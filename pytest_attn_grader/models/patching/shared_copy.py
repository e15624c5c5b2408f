"""Copy a model without its tensors: modules are new, every parameter and buffer is the original's."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from pytest_attn_grader.models.patching.dispatch import INTERFACE_NAME


def eager_copy(model: Any) -> Any:
    """A copy that shares every tensor with the original and computes its attention eagerly.

    Eager, because no other implementation returns attention weights, and because its additive mask says what is masked.
    Attached attentions are shared as well, never copied.
    """
    memo: dict[int, Any] = {}
    for module in model.modules():
        for tensor in (*module._parameters.values(), *module._buffers.values()):
            if tensor is not None:
                memo[id(tensor)] = tensor
        attached = module._modules.get("student_attention")
        if attached is not None:
            memo[id(attached)] = attached
    duplicate = copy.deepcopy(model, memo)
    for module in duplicate.modules():
        _drop_leftover_capture(module)
        _make_eager(module)
    return duplicate


def is_eager(model: nn.Module) -> bool:
    """Whether the model's attention is eager, and so returns its weights."""
    return getattr(getattr(model, "config", None), "_attn_implementation", None) == "eager"


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """No gradients, evaluation mode; afterwards every module is in the mode it was in."""
    was_training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module in was_training:
            module.training = True


def _make_eager(module: nn.Module) -> None:
    config = getattr(module, "config", None)
    if getattr(config, "_attn_implementation", INTERFACE_NAME) != INTERFACE_NAME:
        config._attn_implementation_internal = "eager"  # type: ignore[union-attr]
    # transformers 4 also notes the implementation on some models (GPT-2, BERT) ...
    for attribute in ("_attn_implementation", "attn_implementation"):
        if isinstance(module.__dict__.get(attribute), str):
            setattr(module, attribute, "eager")
    # ... and gives BERT and DistilBERT another class for SDPA, derived from the eager one.
    if "Sdpa" in type(module).__name__:
        module.__class__ = type(module).__mro__[1]


def _drop_leftover_capture(module: nn.Module) -> None:
    """transformers 4 records attentions by replacing ``forward`` on modules for the time of a call, and leaves its
    replacement behind when the call raises; in a copy it would call the original's module."""
    forward = module.__dict__.get("forward")
    while forward is not None:
        if getattr(forward, "__func__", None) is type(module).forward:
            del module.__dict__["forward"]
            return
        forward = getattr(forward, "__wrapped__", None)
