"""The reference attention: the formula of "Attention Is All You Need" (Vaswani et al., 2017, section 3.2.1).

    attn_weights = softmax(query @ key^T * scaling, over the keys the mask keeps)
    attn_output  = attn_weights @ value

It is written to be read and to be differentiated, in any floating dtype (float64 for derived tolerances), not to be
fast. Masks come in two forms here: a *keep mask* is boolean, True = may attend; an *additive mask* is 0 where a query
may attend and a very negative number where it may not, as transformers' eager attention uses it.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

# Masks in the wild block with finfo.min, -inf, -1e9 or (old code, float16) -1e4; a bias meant as a bias is small.
_MASK_THRESHOLD = -1e4


def reference_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    keep_mask: torch.Tensor | None = None,
    *,
    scaling: float | None = None,
    dropout_p: float = 0.0,
    training: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scaled dot-product attention, one step a line.

    Args:
        query: ``(batch, num_heads, query_len, head_dim)``.
        key: ``(batch, num_heads, key_len, head_dim)``; grouped-query keys must be repeated first.
        value: ``(batch, num_heads, key_len, value_dim)``.
        keep_mask: boolean, True = may attend, broadcastable to ``(batch, num_heads, query_len, key_len)``; None keeps
            all.
        scaling: factor on the scores; None means ``1 / sqrt(head_dim)``.
        dropout_p: probability with which a weight is dropped, only when ``training``.
        training: whether dropout is active.

    Returns:
        ``attn_output`` ``(batch, num_heads, query_len, value_dim)`` and ``attn_weights``
        ``(batch, num_heads, query_len, key_len)``. A row with no key left gets zero weights and a zero output, not NaN:
        there is nothing to attend to (transformers' eager attention spreads such a row evenly over all keys instead).

    Raises:
        TypeError: ``keep_mask`` is not boolean; an additive mask must go through `as_keep_mask` first.
    """
    if keep_mask is not None and keep_mask.dtype != torch.bool:
        raise TypeError(
            f"keep_mask must be boolean (True = may attend), got {keep_mask.dtype}; "
            "an additive mask (0 / very negative) becomes one with as_keep_mask(additive_mask)"
        )
    if scaling is None:
        scaling = query.shape[-1] ** -0.5

    attn_scores = query @ key.transpose(-1, -2) * scaling  # (batch, num_heads, query_len, key_len)
    if keep_mask is not None:
        # The smallest finite number, not -inf: a row of -inf has no softmax, and its NaN would reach every gradient.
        attn_scores = attn_scores.masked_fill(~keep_mask, torch.finfo(attn_scores.dtype).min)
    attn_weights = torch.softmax(attn_scores, dim=-1)  # (batch, num_heads, query_len, key_len)
    if keep_mask is not None:
        # Exact zeros, also in a row with no key left, which softmax has just made uniform.
        attn_weights = attn_weights.masked_fill(~keep_mask, 0.0)
    attn_weights = F.dropout(attn_weights, p=dropout_p, training=training)
    attn_output = attn_weights @ value  # (batch, num_heads, query_len, value_dim)
    return attn_output, attn_weights


def causal_keep_mask(
    query_len: int,
    key_len: int | None = None,
    *,
    sliding_window: int | None = None,
    device: torch.device | str | None = None,
) -> torch.Tensor:
    """Keep mask of causal attention, aligned at the bottom right: the last query sees the last key.

    With a cache there are fewer queries than keys, and the queries are the *last* positions; ``torch.tril`` of a
    ``(query_len, key_len)`` matrix would be aligned at the top left and hide the cached past.

    Args:
        query_len: number of queries, in tokens.
        key_len: number of keys, in tokens; None means ``query_len``.
        sliding_window: how many keys, its own included, a query sees at most; None means all of the past.
        device: where the mask is made.

    Returns:
        Boolean ``(query_len, key_len)``, True = may attend.
    """
    key_len = query_len if key_len is None else key_len
    query_positions = torch.arange(key_len - query_len, key_len, device=device)[:, None]  # (query_len, 1)
    key_positions = torch.arange(key_len, device=device)[None, :]  # (1, key_len)
    keep_mask = key_positions <= query_positions
    if sliding_window is not None:
        keep_mask &= key_positions > query_positions - sliding_window
    return keep_mask


def steps_back(query_len: int, key_len: int, *, device: torch.device | None = None) -> torch.Tensor:
    """Tokens from each key to each query, ``(query_len, key_len)``; the last query is at the last key."""
    return torch.arange(key_len - query_len, key_len, device=device)[:, None] - torch.arange(key_len, device=device)


def sees_future(keep_mask: torch.Tensor) -> bool:
    """Whether a keep mask ``(..., query_len, key_len)`` lets a query attend to a later key."""
    causal = causal_keep_mask(*keep_mask.shape[-2:], device=keep_mask.device)
    return bool((keep_mask & ~causal).any())


def as_keep_mask(additive_mask: torch.Tensor) -> torch.Tensor:
    """Boolean keep mask (True = may attend) of an additive mask; a boolean mask is returned as it is.

    Args:
        additive_mask: any shape; 0 where attending is allowed, -1e4 or less (also -inf) where it is not.

    Raises:
        ValueError: a value is neither (a position bias such as ALiBi's cannot be said with True and False), or is NaN.
    """
    if additive_mask.dtype == torch.bool:
        return additive_mask
    keep_mask = additive_mask == 0
    neither = ~(keep_mask | (additive_mask <= _MASK_THRESHOLD))
    if neither.any():
        example = additive_mask[neither][0].item()
        raise ValueError(
            f"the additive mask holds {example:g}, which is neither 0 (may attend) nor very negative (may not): "
            "a bias on the scores cannot be turned into a keep mask"
        )
    return keep_mask


def as_additive_mask(keep_mask: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Additive mask of a boolean keep mask: 0 where True, the dtype's smallest finite number where False.

    Args:
        keep_mask: boolean, any shape, True = may attend.
        dtype: floating dtype of the scores it will be added to.

    Raises:
        TypeError: ``keep_mask`` is not boolean.
    """
    if keep_mask.dtype != torch.bool:
        raise TypeError(f"keep_mask must be boolean (True = may attend), got {keep_mask.dtype}")
    additive_mask = torch.zeros(keep_mask.shape, dtype=dtype, device=keep_mask.device)
    return additive_mask.masked_fill(~keep_mask, torch.finfo(dtype).min)
