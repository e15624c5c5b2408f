"""Layers whose attention is replaced: by a function that the module asks, or as a whole, which needs another class.

The module keeps its place, its hooks and its being an instance of the original class, because that is how transformers
finds the modules whose attention weights it reports. A foreign module in that place would make ``out.attentions`` one
entry short and shift every index after it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from pytest_attn_grader.errors import PatchingError
from pytest_attn_grader.models.patching.attention_function import check_tensor, get_name, split_output
from pytest_attn_grader.models.patching.dispatch import (
    attention_weights_requested,
    get_attention,
    make_keep_mask,
    set_attention,
    use_dispatcher,
)

_CACHE_ARGUMENTS = ("cache", "past_key_values", "past_key_value", "layer_past")


class ReplacedBlock(nn.Module):
    """Forward of a layer whose attention a module with its own projections has replaced.

    The module is called with hidden states ``(batch, seq_len, hidden_size)`` and, if it has a parameter for it, the
    keep mask ``(batch, 1, seq_len, seq_len)``; it returns the new hidden states, or those and its weights.
    """

    student_layer_idx: int
    student_mask_name: str
    student_num_heads: int
    student_is_causal: bool

    def forward(self, *args: Any, **kwargs: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
        arguments = inspect.signature(_original_class(type(self)).forward).bind(self, *args, **kwargs).arguments
        arguments.update(arguments.pop("kwargs", {}))
        if any(arguments.get(name) is not None for name in _CACHE_ARGUMENTS):
            raise PatchingError(
                f"layer {self.student_layer_idx} was replaced as a whole by a module with its own projections, "
                "which keeps no keys and values from call to call: call the model, or generate, with use_cache=False."
            )
        hidden_states = arguments["hidden_states"]
        student = get_attention(self)
        assert student is not None  # attached where this class was given
        batch_size, seq_len, _ = hidden_states.shape
        keep_mask = make_keep_mask(
            arguments.get("attention_mask"),
            (batch_size, seq_len, seq_len),
            is_causal=self.student_is_causal,
            device=hidden_states.device,
        )
        mask_name = self.student_mask_name
        answer = student(hidden_states, **{mask_name: keep_mask}) if mask_name else student(hidden_states)
        attn_output, attn_weights = split_output(student, answer)
        dimensions = "(batch, seq_len, hidden_size)"
        check_tensor(student, "attn_output", attn_output, tuple(hidden_states.shape), dimensions, like=hidden_states)
        if not attention_weights_requested(arguments):
            return attn_output, None
        wanted = (batch_size, self.student_num_heads, seq_len, seq_len)
        if attn_weights is None:
            # NaN, not zeros: these weights are unknown, and out.attentions must keep one entry a layer.
            return attn_output, hidden_states.new_full(wanted, torch.nan)
        check_tensor(student, "attn_weights", attn_weights, wanted, "(batch, num_heads, query_len, key_len)")
        return attn_output, attn_weights


_replaced_classes: dict[type[nn.Module], type[nn.Module]] = {}


def can_replace_function(module: nn.Module) -> bool:
    """Whether this module calls an attention that `replace_function` can replace."""
    code = getattr(inspect.unwrap(type(module).forward), "__code__", None)
    return code is not None and "ALL_ATTENTION_FUNCTIONS" in code.co_names


def replace_function(attention: Any, student: Callable[..., Any], layer_idx: int) -> None:
    """Let this layer's module ask ``student`` for its attention; its projections stay.

    Raises:
        PatchingError: the module's class offers no way to have its attention replaced.
    """
    if isinstance(attention, ReplacedBlock):
        former = get_name(get_attention(attention) or attention)
        raise PatchingError(
            f"layer {layer_idx} of this model was replaced as a whole by {former} "
            "and has no projections left to feed an attention function with: patch the original model instead."
        )
    if not can_replace_function(attention):
        raise PatchingError(
            f"{type(attention).__name__} computes its attention itself instead of asking transformers' attention "
            "interface, so a function cannot be put into it. What works nevertheless: an nn.Module that takes hidden "
            "states and replaces the block as a whole, or a newer version of transformers."
        )
    set_attention(attention, student, layer_idx)
    use_dispatcher(attention)


def replace_block(attention: Any, student: nn.Module, layer_idx: int, *, num_heads: int, is_causal: bool) -> None:
    """Put ``student``, which takes hidden states, in the place of this layer's attention, projections and all."""
    mask_name = hidden_states_mask_parameter(student)
    for name in ("student_attention", *attention._modules, *attention._parameters, *attention._buffers):
        if hasattr(attention, name):
            delattr(attention, name)  # the copy's references only; the tensors are the original's
    attention.__class__ = _replaced_class(_original_class(type(attention)))
    attention.student_attention = student
    attention.student_mask_name = mask_name
    attention.student_layer_idx = layer_idx
    attention.student_num_heads = num_heads
    attention.student_is_causal = is_causal


def hidden_states_mask_parameter(student: nn.Module) -> str:
    """Name of the parameter through which a module that takes hidden states wants the keep mask; "" without one."""
    for name, parameter in inspect.signature(student.forward).parameters.items():
        if "mask" in name.lower() and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            return name
    return ""


def _replaced_class(original: type[nn.Module]) -> type[nn.Module]:
    """A class with the forward of `ReplacedBlock` that still derives from the original; the same one every time."""
    if original not in _replaced_classes:
        bases = (ReplacedBlock, original)
        _replaced_classes[original] = type(f"Replaced{original.__name__}", bases, {"__doc__": ReplacedBlock.__doc__})
    return _replaced_classes[original]


def _original_class(cls: type[nn.Module]) -> type[nn.Module]:
    """transformers' class below the derived one."""
    return next(base for base in cls.__mro__ if issubclass(base, nn.Module) and not issubclass(base, ReplacedBlock))
