"""The one function transformers calls for every patched layer; it asks the attention attached to that layer's module.

transformers looks attentions up by name in a registry that is global to the process and forgets nothing, so a single
dispatcher is registered once, and what it does depends on the module it is called with. Its name is registered for
masks as well: transformers gives *no* mask to an attention whose name has no mask function, and causality is lost
without a word.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import torch
from torch import nn

from pytest_attn_grader.attention.reference import as_keep_mask, causal_keep_mask
from pytest_attn_grader.errors import PatchingError
from pytest_attn_grader.models.patching.attention_function import AttentionFunction, mask_parameter

INTERFACE_NAME = "attn_grader"

# What some architectures ask of their attention and the contract cannot say; better refused than left out silently.
_NOT_IN_THE_CONTRACT = ("softcap", "s_aux", "head_mask", "position_bias")

# One entry for every transformers model whose forward is running: were attention weights asked of it?
_weights_wanted: ContextVar[tuple[bool, ...]] = ContextVar("attn_grader_weights_wanted", default=())


class _SharedOnCopy:
    """A callable on a module's attribute that copies of the model share: it may own a process or a connection."""

    def __init__(self, attention: Callable[..., Any]) -> None:
        self.attention = attention

    def __deepcopy__(self, memo: dict[int, Any]) -> _SharedOnCopy:
        return self


@functools.cache
def register() -> None:
    """Make the dispatcher known to transformers; later calls do nothing."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, eager_mask

    AttentionInterface.register(INTERFACE_NAME, dispatch_attention)
    AttentionMaskInterface.register(INTERFACE_NAME, eager_mask)


def set_attention(module: Any, attention: Callable[..., Any], layer_idx: int) -> None:
    """Give a layer's module the attention that is to answer for it.

    An nn.Module becomes a submodule (its parameters are the model's, `train` and `eval` reach it); anything else is
    held.
    """
    mask_name = mask_parameter(attention)
    if hasattr(module, "student_attention"):
        del module.student_attention
    module.student_attention = attention if isinstance(attention, nn.Module) else _SharedOnCopy(attention)
    module.student_mask_name = mask_name
    module.student_layer_idx = layer_idx


def get_attention(module: nn.Module) -> Callable[..., Any] | None:
    """The attention a layer's module was given, or None."""
    attached = getattr(module, "student_attention", None)
    return attached.attention if isinstance(attached, _SharedOnCopy) else attached


def use_dispatcher(module: Any) -> None:
    """Let this module, and no other, ask the dispatcher: its own copy of the configuration names it."""
    config = copy.copy(module.config)
    config._attn_implementation_internal = INTERFACE_NAME
    module.config = config


def dispatch_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    *,
    scaling: float | None = None,
    is_causal: bool | None = None,
    sliding_window: int | None = None,
    **others: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Call the attached attention for transformers: convert its arguments to the contract's and the results back.

    The model's attention dropout is not applied: the contract has none, an attention that wants dropout owns it.

    Args:
        query: ``(batch, num_heads, query_len, head_dim)``, not contiguous in GPT-2.
        key, value: ``(batch, num_key_value_heads, key_len, head_dim)``.
        attention_mask: additive, ``(batch, 1, query_len, key_len)``; None in BERT when nothing is padded.

    Returns:
        attn_output ``(batch, query_len, num_heads, head_dim)`` and attn_weights
        ``(batch, num_heads, query_len, key_len)``; None when they were neither returned nor asked for.
    """
    attention = get_attention(module)
    if attention is None:
        raise PatchingError(
            f"{type(module).__name__} is set to attention implementation {INTERFACE_NAME!r} but no attention was "
            "attached to it; use replace_attention_mechanism(model, student_attention, layer_idx) instead of naming it."
        )
    refused = [name for name in _NOT_IN_THE_CONTRACT if others.get(name) is not None]
    if refused:
        raise PatchingError(
            f"{type(module).__name__} asks its attention for {', '.join(refused)}, "
            "for which attention(query, key, value, keep_mask) has no argument."
        )
    batch_size, num_heads, query_len, head_dim = query.shape
    key_len = key.shape[-2]
    if scaling is None:
        scaling = _get_scaling(module, head_dim)
    relative_scaling = scaling * head_dim**0.5
    if abs(relative_scaling - 1.0) > 1e-9:
        query = query * relative_scaling  # the contract's 1 / sqrt(head_dim) then gives the layer's own scaling
    if key.shape[1] != num_heads and not getattr(attention, "takes_groups", False):
        key = key.repeat_interleave(num_heads // key.shape[1], dim=1)
        value = value.repeat_interleave(num_heads // value.shape[1], dim=1)
    query, key, value = query.contiguous(), key.contiguous(), value.contiguous()
    if attention_mask is None and is_causal is None:
        is_causal = bool(getattr(module, "is_causal", False))
    keep_mask = make_keep_mask(
        attention_mask,
        (batch_size, query_len, key_len),
        is_causal=bool(is_causal),
        sliding_window=sliding_window,
        device=query.device,
    )

    student = AttentionFunction(attention, module.student_mask_name)
    attn_output, attn_weights = student(query, key, value, keep_mask)
    if attn_weights is None and attention_weights_requested(others):
        attn_weights = student.recover_weights(query, key, keep_mask)
    return attn_output.transpose(1, 2).contiguous(), attn_weights


def make_keep_mask(
    attention_mask: torch.Tensor | None,
    sizes: tuple[int, int, int],
    *,
    is_causal: bool,
    sliding_window: int | None = None,
    device: torch.device | None = None,
) -> torch.Tensor:
    """The contract's keep mask for what transformers passed; made here when it passed none.

    A query with no key left (padding on the left) may look at its own position. What it sees does not matter, for no
    real token looks at it, but a NaN would: zero weight times NaN is NaN, in every row.

    Args:
        attention_mask: additive or boolean, broadcastable to ``(batch, num_heads, query_len, >= key_len)``; or None.
        sizes: batch_size, query_len, key_len.

    Returns:
        Boolean ``(batch, 1 or num_heads, query_len, key_len)``, contiguous.
    """
    batch_size, query_len, key_len = sizes
    if attention_mask is not None:
        try:
            keep_mask = as_keep_mask(attention_mask[..., :key_len])  # a static cache's mask is longer than its keys
        except ValueError as bias:
            raise PatchingError(f"this model's mask cannot be handed to an attention function: {bias}") from bias
    elif is_causal:
        keep_mask = causal_keep_mask(query_len, key_len, sliding_window=sliding_window, device=device)[None, None]
    else:
        keep_mask = torch.ones((1, 1, query_len, key_len), dtype=torch.bool, device=device)
    keep_mask = keep_mask.expand(batch_size, -1, query_len, key_len)

    without_key = ~keep_mask.any(dim=-1, keepdim=True)  # (batch, heads, query_len, 1)
    if without_key.any():
        own_positions = torch.arange(key_len - query_len, key_len, device=keep_mask.device).clamp_min(0)
        own_key = own_positions[:, None] == torch.arange(key_len, device=keep_mask.device)  # (query_len, key_len)
        keep_mask = keep_mask | (without_key & own_key)
    return keep_mask.contiguous()


def track_output_attentions(model: nn.Module) -> None:
    """Let every transformers model inside this one note, while it runs, whether attention weights were asked for.

    Recovering weights costs calls of the attention, so it is done only then; the request does not reach the layers in
    the same way in all versions of transformers.
    """
    from transformers import PreTrainedModel

    for module in model.modules():
        if isinstance(module, PreTrainedModel) and _note_request not in module._forward_pre_hooks.values():
            module.register_forward_pre_hook(_note_request, with_kwargs=True)
            module.register_forward_hook(_forget_request, always_call=True)


def attention_weights_requested(arguments: dict[str, Any]) -> bool:
    """Whether the model that is running was asked for attention weights."""
    return any(_weights_wanted.get()) or bool(arguments.get("output_attentions"))


def _note_request(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    asked = kwargs.get("output_attentions")
    wanted = getattr(module.config, "output_attentions", False) if asked is None else asked
    _weights_wanted.set((*_weights_wanted.get(), bool(wanted)))


def _forget_request(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
    _weights_wanted.set(_weights_wanted.get()[:-1])


def _get_scaling(module: Any, head_dim: int) -> float:
    """The factor a layer puts on its scores, for layers that do not pass it on (GPT-2 in transformers 4)."""
    scaling = getattr(module, "scaling", None)
    if scaling is not None:
        return float(scaling)
    factor = head_dim**-0.5 if getattr(module, "scale_attn_weights", True) else 1.0
    if getattr(module, "scale_attn_by_inverse_layer_idx", False):
        factor /= float(module.layer_idx) + 1.0
    return factor
