"""Layers that need another class: attention replaced as a whole, and architectures that ask no attention interface.

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
    dispatch_attention,
    get_attention,
    make_keep_mask,
    set_attention,
    use_dispatcher,
)

_MASK_ARGUMENTS = ("attention_mask", "mask")
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
        hidden_states = arguments["hidden_states"] if "hidden_states" in arguments else arguments["query"]
        student = get_attention(self)
        assert student is not None  # attached where this class was given
        batch_size, seq_len, _ = hidden_states.shape
        masks = [arguments[name] for name in _MASK_ARGUMENTS if arguments.get(name) is not None]
        keep_mask = make_keep_mask(
            expand_token_mask(masks[0] if masks else None),
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


class DispatchedBert(nn.Module):
    """Forward of transformers 4's BertSelfAttention, which asks no attention interface, with the dispatcher in it."""

    query: nn.Module
    key: nn.Module
    value: nn.Module
    attention_head_size: int
    position_embedding_type: str
    is_decoder: bool
    layer_idx: int

    def forward(
        self,
        hidden_states: torch.Tensor,
        *,
        attention_mask: torch.Tensor | None = None,
        head_mask: torch.Tensor | None = None,
        encoder_hidden_states: torch.Tensor | None = None,
        past_key_values: Any = None,
        output_attentions: bool | None = False,
        cache_position: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        if encoder_hidden_states is not None or self.position_embedding_type != "absolute":
            raise PatchingError(
                "BERT's cross-attention and its relative positions add terms to the attention scores for which "
                "attention(query, key, value, keep_mask) has no argument; use self-attention with absolute positions."
            )
        query, key, value = (
            projection(hidden_states).unflatten(-1, (-1, self.attention_head_size)).transpose(1, 2)
            for projection in (self.query, self.key, self.value)
        )
        if past_key_values is not None:
            cache = getattr(past_key_values, "self_attention_cache", past_key_values)
            key, value = cache.update(key, value, self.layer_idx, {"cache_position": cache_position})
        attn_output, attn_weights = dispatch_attention(
            self,
            query,
            key,
            value,
            attention_mask,
            is_causal=self.is_decoder,
            head_mask=head_mask,
            output_attentions=output_attentions,
        )
        return attn_output.flatten(2), attn_weights


class DispatchedDistilBert(nn.Module):
    """Forward of transformers 4's MultiHeadSelfAttention (DistilBERT), with the dispatcher in it."""

    q_lin: nn.Module
    k_lin: nn.Module
    v_lin: nn.Module
    out_lin: nn.Module
    attention_head_size: int

    def forward(
        self,
        query: torch.Tensor,
        *,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor,
        head_mask: torch.Tensor | None = None,
        output_attentions: bool = False,
    ) -> tuple[torch.Tensor, ...]:
        split_query, split_key, split_value = (
            projection(hidden_states).unflatten(-1, (-1, self.attention_head_size)).transpose(1, 2)
            for projection, hidden_states in ((self.q_lin, query), (self.k_lin, key), (self.v_lin, value))
        )
        attn_output, attn_weights = dispatch_attention(
            self,
            split_query,
            split_key,
            split_value,
            expand_token_mask(mask),
            is_causal=False,
            head_mask=head_mask,
            output_attentions=output_attentions,
        )
        attn_output = self.out_lin(attn_output.flatten(2))
        return (attn_output, attn_weights) if output_attentions and attn_weights is not None else (attn_output,)


_DISPATCHED: dict[str, type[nn.Module]] = {
    "BertSelfAttention": DispatchedBert,
    "MultiHeadSelfAttention": DispatchedDistilBert,
}
_derived_classes: dict[tuple[type[nn.Module], type[nn.Module]], type[nn.Module]] = {}
_PATCHED_CLASSES: tuple[type[nn.Module], ...] = (ReplacedBlock, DispatchedBert, DispatchedDistilBert)


def can_replace_function(module: nn.Module) -> bool:
    """Whether this module calls an attention that `replace_function` can replace."""
    return _asks_interface(module) or isinstance(module, _PATCHED_CLASSES) or type(module).__name__ in _DISPATCHED


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
    set_attention(attention, student, layer_idx)
    if _asks_interface(attention):
        use_dispatcher(attention)
    elif not isinstance(attention, _PATCHED_CLASSES):
        dispatched = _DISPATCHED.get(type(attention).__name__)
        if dispatched is None:
            raise PatchingError(
                f"{type(attention).__name__} computes its attention itself instead of asking transformers' attention "
                "interface, so a function cannot be put into it. What works nevertheless: an nn.Module that takes "
                "hidden states and replaces the block as a whole, or a newer version of transformers."
            )
        attention.__class__ = _derived(dispatched, type(attention))


def replace_block(attention: Any, student: nn.Module, layer_idx: int, *, num_heads: int, is_causal: bool) -> None:
    """Put ``student``, which takes hidden states, in the place of this layer's attention, projections and all."""
    mask_name = hidden_states_mask_parameter(student)
    for name in ("student_attention", *attention._modules, *attention._parameters, *attention._buffers):
        if hasattr(attention, name):
            delattr(attention, name)  # the copy's references only; the tensors are the original's
    attention.__class__ = _derived(ReplacedBlock, _original_class(type(attention)))
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


def expand_token_mask(mask: torch.Tensor | None) -> torch.Tensor | None:
    """A mask that says of each token whether it is one (``(batch, key_len)``, 1 or 0), as a keep mask; others as is.

    DistilBERT's attention gets such a mask in transformers 4.
    """
    return (mask != 0)[:, None, None, :] if mask is not None and mask.ndim == 2 else mask


def _asks_interface(module: nn.Module) -> bool:
    code = getattr(inspect.unwrap(type(module).forward), "__code__", None)
    return code is not None and "ALL_ATTENTION_FUNCTIONS" in code.co_names


def _derived(patched: type[nn.Module], original: type[nn.Module]) -> type[nn.Module]:
    """A class with the patched forward that still derives from the original; the same one every time."""
    if (patched, original) not in _derived_classes:
        name = f"{patched.__name__}{original.__name__}"
        _derived_classes[patched, original] = type(name, (patched, original), {"__doc__": patched.__doc__})
    return _derived_classes[patched, original]


def _original_class(cls: type[nn.Module]) -> type[nn.Module]:
    """transformers' class below the derived ones."""
    return next(base for base in cls.__mro__ if issubclass(base, nn.Module) and not issubclass(base, _PATCHED_CLASSES))
