"""Rotary positions inside a submission: which rotation a module applies to query and key, found by trial.

A module that rotates query and key by their positions computes the attention of the rotated ones. Rotations can be
undone, so such a module is given query and key rotated backwards: what it rotates are then the probe's own, and the
reference, the checks and the models with rotary positions need not know. Source: Su et al., "RoFormer", 2021.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import torch
from torch import Tensor

from pytest_attn_grader.attention.reference import causal_keep_mask
from pytest_attn_grader.attention.rotation import BASE, Pairing, Rotation, rotate

_TOKENS, _BATCH = 6, 2
_SAME = 1e-3

Attend = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


# Names of rotary positions in code, as whole words between underscores and capitals: "rope" is not part of "Europe".
_ROTARY_WORDS = re.compile(
    r"(?<![a-z])rope(?![a-z])|RoPE|[Rr]otary|(?<![a-z])freqs_(cis|complex|cos)|\binv_freqs?\b|\bcos\s*,\s*sin\b"
)


def mentions_rotary_positions(source: str) -> bool:
    """Whether the code of a submission, comments left aside, names rotary positions."""
    code = "\n".join(line.partition("#")[0] for line in source.splitlines())
    return _ROTARY_WORDS.search(code) is not None


def find_rotation(attend: Attend, num_heads: int, head_dim: int, seed: int, *, base: float = BASE) -> Rotation | None:
    """Find the rotation that a submission applies to query and key.

    All tokens get the same query and the same key, rotated backwards. With the right rotation all scores are equal, so
    the output is that of scores of zero, whatever the submission does with its scores: scaling, mask and softmax may be
    wrong.

    Args:
        attend: the submission as ``attend(query, key, value, keep_mask) -> attn_output``.
        num_heads, head_dim: sizes that it is asked at.
        seed: of the random query, key and value.
        base: that of the graded model.

    Returns:
        The rotation of the keys: whether the queries are rotated in the same way shows when the submission is compared
        with the reference. None when the positions change nothing, or when no known rotation explains what they change.
    """
    if head_dim % 2:
        return None
    generator = torch.Generator().manual_seed(seed)
    query, key, value = (torch.randn(_BATCH, num_heads, _TOKENS, head_dim, generator=generator) for _ in range(3))
    query, key = (tensor[:, :, :1].expand_as(tensor).contiguous() for tensor in (query, key))
    causal = causal_keep_mask(_TOKENS).expand(_BATCH, 1, -1, -1).contiguous()
    pairings: tuple[Pairing, ...] = ("halves", "neighbours")
    rotations = [Rotation(pairing, base) for pairing in pairings]
    # Where scores are multiplied by the mask, equal ones are unlike those that it hides.
    for keep_mask in (causal, torch.ones_like(causal)):
        is_flat = _flat_test(attend, query, key, value, keep_mask)
        if is_flat(query, key):
            return None
        for rotation in rotations:
            if is_flat(rotate(query, rotation, backwards=True), rotate(key, rotation, backwards=True)):
                return rotation
    return None


def _flat_test(
    attend: Attend, query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor
) -> Callable[[Tensor, Tensor], bool]:
    """Make a test of whether a query and a key give the output of scores of zero."""
    flat = attend(torch.zeros_like(query), torch.zeros_like(key), value, keep_mask)
    if not bool(flat.isfinite().any()):  # a norm without an epsilon divides by the length of its query, here 0
        flat = keep_mask.to(value) / keep_mask.sum(-1, keepdim=True) @ value

    def is_flat(query: Tensor, key: Tensor) -> bool:
        difference = attend(query, key, value, keep_mask) - flat
        # A mask that is meant the other way round leaves rows without a key: NaN in both says nothing.
        known = difference.isfinite()
        return bool(known.any()) and bool(difference[known].abs().max() <= _SAME * value.abs().max())

    return is_flat
