"""The arguments and results of an attention function, and the checks of both.

    attention(query, key, value, keep_mask) -> attn_output  or  (attn_output, attn_weights)

query ``(batch, num_heads, query_len, head_dim)``, key and value ``(batch, num_heads, key_len, head_dim)``, all
contiguous; keep_mask boolean ``(batch, 1 or num_heads, query_len, key_len)``, True = may attend; scores are scaled by
``1 / sqrt(head_dim)``. attn_output has the query's shape, attn_weights is ``(batch, num_heads, query_len, key_len)``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from pytest_attn_grader.attention.weight_recovery import recover_weights
from pytest_attn_grader.errors import PatchingError

# How the mask is handed over: as fourth argument, by a parameter's name, or not at all.
FOURTH_ARGUMENT = "*"
NO_MASK = ""

# A fourth parameter of this kind is no mask, whatever its position.
_NOT_A_MASK = ("drop", "scal", "causal", "train")
_WANTED = "attention(query, key, value, keep_mask) -> attn_output or (attn_output, attn_weights)"


def mask_parameter(attention: Callable[..., Any]) -> str:
    """Find the mask's parameter: its name, `FOURTH_ARGUMENT`, or `NO_MASK` when the attention masks by itself.

    Raises:
        PatchingError: it cannot be called with three tensors.
    """
    try:
        signature = inspect.signature(attention.forward if isinstance(attention, nn.Module) else attention)
    except (TypeError, ValueError):
        return FOURTH_ARGUMENT  # built-in functions such as F.scaled_dot_product_attention tell no signature
    for parameter in signature.parameters.values():
        if "mask" in parameter.name.lower() and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            name = parameter.name if parameter.kind is not parameter.POSITIONAL_ONLY else FOURTH_ARGUMENT
            if _accepts(signature, *[None] * (4 if name == FOURTH_ARGUMENT else 3), mask_name=name):
                return name
    if _accepts(signature, None, None, None, None):
        names = list(signature.parameters)
        fourth = names[3].lower() if len(names) > 3 else ""
        if not any(word in fourth for word in _NOT_A_MASK):
            return FOURTH_ARGUMENT
    if _accepts(signature, None, None, None):
        return NO_MASK
    raise PatchingError(
        f"{get_name(attention)}{signature} cannot be called as an attention function. Wanted: {_WANTED}. "
        "Wrap it in a function of that form, for instance with functools.partial for further arguments."
    )


def _accepts(signature: inspect.Signature, *arguments: None, mask_name: str = FOURTH_ARGUMENT) -> bool:
    by_name = {} if mask_name == FOURTH_ARGUMENT else {mask_name: None}
    try:
        signature.bind(*arguments, **by_name)
    except TypeError:
        return False
    return True


def is_attention_block(attention: Callable[..., Any]) -> bool:
    """Whether this is a module that owns its projections and takes hidden states, rather than an attention function.

    An nn.Module whose forward begins with three parameters called q…, k…, v…, or that requires three, is a function.
    """
    if not isinstance(attention, nn.Module):
        return False
    positional = [
        parameter
        for parameter in inspect.signature(attention.forward).parameters.values()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    if not positional:
        return False
    initials = [parameter.name.lower()[:1] for parameter in positional[:3]]
    required = [parameter for parameter in positional if parameter.default is parameter.empty]
    return initials != ["q", "k", "v"] and len(required) < 3


@dataclass(frozen=True)
class AttentionFunction:
    """An attention function and how it takes its mask, called by the contract and held to it."""

    function: Callable[..., Any]
    mask_name: str

    def __call__(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, keep_mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """One call: the output and the weights if it returned any, shapes and types checked.

        Raises:
            PatchingError: what came back is no tensor, or not of the shape, dtype or device wanted.
            Exception: whatever the function itself raises, unchanged.
        """
        if self.mask_name == FOURTH_ARGUMENT:
            answer = self.function(query, key, value, keep_mask)
        elif self.mask_name == NO_MASK:
            answer = self.function(query, key, value)
        else:
            answer = self.function(query, key, value, **{self.mask_name: keep_mask})

        attn_output, attn_weights = split_output(self.function, answer)
        output_shape = (*query.shape[:-1], value.shape[-1])
        dimensions = "(batch, num_heads, query_len, head_dim)"
        check_tensor(self.function, "attn_output", attn_output, output_shape, dimensions, like=query)
        if attn_weights is not None:
            weights_shape = (*query.shape[:-1], key.shape[-2])
            dimensions = "(batch, num_heads, query_len, key_len)"
            check_tensor(self.function, "attn_weights", attn_weights, weights_shape, dimensions)
        return attn_output, attn_weights

    def recover_weights(self, query: torch.Tensor, key: torch.Tensor, keep_mask: torch.Tensor) -> torch.Tensor:
        """The weights of a function that does not return them; see `attention.weight_recovery`."""
        return recover_weights(lambda value: self(query, key, value, keep_mask)[0], key)


def split_output(attention: Callable[..., Any], answer: Any) -> tuple[Any, Any]:
    """An answer as (output, weights or None); a bare tensor is an output, never a batch to unpack."""
    if not isinstance(answer, tuple | list):
        return answer, None
    if len(answer) != 2:
        raise PatchingError(
            f"{get_name(attention)} returned a {type(answer).__name__} of {len(answer)} items; "
            "wanted attn_output or (attn_output, attn_weights)."
        )
    return answer[0], answer[1]


def check_tensor(
    attention: Callable[..., Any],
    what: str,
    tensor: Any,
    wanted: tuple[int, ...],
    dimensions: str,
    *,
    like: torch.Tensor | None = None,
) -> None:
    """Raises PatchingError unless this is a tensor of the wanted shape (and in ``like``'s dtype and on its device)."""
    if not isinstance(tensor, torch.Tensor):
        raise PatchingError(
            f"{get_name(attention)} returned {what} of type {type(tensor).__name__}; "
            f"wanted a torch.Tensor of shape {wanted} = {dimensions}."
        )
    if tuple(tensor.shape) != tuple(wanted):
        raise PatchingError(
            f"{get_name(attention)} returned {what} of shape {tuple(tensor.shape)}; wanted {wanted} = {dimensions}."
        )
    if like is not None and (tensor.dtype != like.dtype or tensor.device != like.device):
        raise PatchingError(
            f"{get_name(attention)} returned {what} in {tensor.dtype} on {tensor.device}; "
            f"wanted {like.dtype} on {like.device}, as the query. Return {what}.to(query)."
        )


def get_name(attention: Callable[..., Any]) -> str:
    """The name of an attention in messages."""
    return getattr(attention, "__name__", None) or type(attention).__name__
