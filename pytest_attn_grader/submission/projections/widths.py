"""The dimension adapter: hidden states and projections for a module of another width than the model's.

Whatever the width of a model, the hidden states of T tokens span at most T dimensions. In an orthonormal basis A of
that space they are T wide, and a projection W becomes Aᵀ W: their product is the same. A channel that is always 1
carries the biases. So a module 64 wide can hold one head of a model 768 wide, exactly, on texts of up to 63 tokens.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from pytest_attn_grader.submission.projections.matrices import Projections


def fit_width(hidden_states: Tensor, projections: Projections, width: int) -> tuple[Tensor, Projections, float]:
    """Hidden states ``(batch, seq, in_features)`` in another width, and projections without biases that belong to them.

    Gradients reach the hidden states through the basis, and are exact too where it is.

    Returns:
        hidden states ``(batch, seq, width)``, the projections, and the share of the hidden states' norm that is lost:
        0 when they fit, which they do when there are fewer tokens than `width`.
    """
    in_features = hidden_states.shape[-1]
    channel = 1 if projections.has_input_biases else 0
    residual = 0.0
    w_q, w_k, w_v = projections.w_q, projections.w_k, projections.w_v
    if in_features + channel > width:
        basis, residual = _basis(hidden_states, width - channel)
        hidden_states = (hidden_states @ basis.T).detach()
        w_q, w_k, w_v = (torch.einsum("rc,chd->rhd", basis, weight) for weight in (w_q, w_k, w_v))
    if channel:
        hidden_states = torch.cat([hidden_states, torch.ones_like(hidden_states[..., :1])], dim=-1)
        pairs = zip((w_q, w_k, w_v), (projections.b_q, projections.b_k, projections.b_v), strict=True)
        w_q, w_k, w_v = (torch.cat([weight, _row(bias, weight)]) for weight, bias in pairs)
    missing = width - hidden_states.shape[-1]
    w_q, w_k, w_v = (F.pad(weight, (0, 0, 0, 0, 0, missing)) for weight in (w_q, w_k, w_v))
    fitted = replace(projections.without_input_biases(), w_q=w_q, w_k=w_k, w_v=w_v)
    return F.pad(hidden_states, (0, missing)), fitted, residual


def _basis(hidden_states: Tensor, rank: int) -> tuple[Tensor, float]:
    """The orthonormal basis ``(<= rank, in_features)`` that keeps most, and the share of the norm that it loses.

    It is a sum of hidden states with constant coefficients, and so has a gradient. The coordinates in it are taken as
    constants: coordinates times (coefficients times hidden states) are the hidden states, and so are the gradients.
    """
    rows = hidden_states.flatten(0, -2).double()
    left, sizes, _ = torch.linalg.svd(rows.detach(), full_matrices=False)
    lost = float(sizes[rank:].norm() / sizes.norm()) if rank < len(sizes) else 0.0
    # Equal tokens span no further dimension; dividing by 0 would make one up.
    kept = int((sizes[:rank] > sizes[0] * 1e-7).sum())
    coefficients = left[:, :kept] / sizes[:kept]
    return (coefficients.T @ rows).to(hidden_states.dtype), lost


def _row(bias: Tensor | None, weight: Tensor) -> Tensor:
    return torch.zeros_like(weight[:1]) if bias is None else bias[None]


def fit_head_dim(projections: Projections, head_dim: int) -> Projections:
    """Heads of more dimensions, the added ones zero; queries make up for the larger ``sqrt(head_dim)``."""
    missing = head_dim - projections.head_dim
    if missing == 0:
        return projections
    factor = (head_dim / projections.head_dim) ** 0.5

    def pad(name: str, tensor: Tensor) -> Tensor:
        return F.pad(tensor * factor if name.endswith("_q") else tensor, (0, missing))

    return projections.with_inputs_changed(pad)


def pad_head_dim(query: Tensor, key: Tensor, head_dim: int) -> tuple[Tensor, Tensor]:
    """Queries and keys of more dimensions, the added ones zero, with the same scores after scaling."""
    missing = head_dim - query.shape[-1]
    factor = (head_dim / query.shape[-1]) ** 0.5
    return (F.pad(query * factor, (0, missing)), F.pad(key, (0, missing))) if missing else (query, key)


def reduce_head_dim(query: Tensor, key: Tensor, head_dim: int) -> tuple[Tensor, Tensor, float]:
    """Queries and keys of fewer dimensions with the same scores after scaling by ``1 / sqrt(head_dim)``.

    Keys become unit vectors and queries hold the scores, which is exact for up to `head_dim` keys; with more keys the
    scores are projected onto the dimensions that say most.

    Returns:
        query and key ``(batch, num_heads, length, head_dim)``, and the share of the scores' norm that is lost.
    """
    key_len = key.shape[-2]
    scores = query @ key.transpose(-2, -1) * (head_dim / query.shape[-1]) ** 0.5
    if key_len <= head_dim:
        unit = torch.eye(key_len, head_dim, dtype=key.dtype, device=key.device).expand(*key.shape[:-1], head_dim)
        return F.pad(scores, (0, head_dim - key_len)), unit, 0.0
    _, sizes, right = torch.linalg.svd(scores.detach().double(), full_matrices=False)
    kept = right[..., :head_dim, :].to(scores.dtype)  # (batch, num_heads, head_dim, key_len)
    lost = float(sizes[..., head_dim:].norm() / sizes.norm())
    return scores @ kept.transpose(-2, -1), kept.transpose(-2, -1), lost


def group_heads(projections: Projections, start: int, num_heads: int) -> Projections:
    """`num_heads` heads from `start` on; where the model has no more, heads of zeros."""

    def take(_: str, tensor: Tensor) -> Tensor:
        taken = tensor[..., start : start + num_heads, :]
        return F.pad(taken, (0, 0, 0, num_heads - taken.shape[-2]))

    return replace(projections.with_inputs_changed(take), w_o=None, b_o=None)
