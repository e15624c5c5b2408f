"""Rotary positions inside a submission: found whatever else is wrong with it, and undone before it is asked."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from pytest_attn_grader.attention.reference import reference_attention
from pytest_attn_grader.attention.rotation import BASE, Rotation, rotate
from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.models.architectures import LayerSteps
from pytest_attn_grader.submission.adapt import fit
from pytest_attn_grader.submission.rotary import find_rotation, mentions_rotary_positions
from tests.support.students import Workshop

ROTATIONS = [
    Rotation("halves", BASE),
    Rotation("neighbours", BASE),
    Rotation("halves", 500_000.0),
]
MODULE = """
import math, torch
from torch import nn

class Attention(nn.Module):
    def __init__(self, d_model, num_heads, max_seq_len=1024, theta=10000.0):
        super().__init__()
        self.h, self.d = num_heads, d_model // num_heads
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(d_model, d_model, bias=False) for _ in range(4))
        angles = torch.arange(max_seq_len)[:, None] * theta ** (-torch.arange(0, self.d, 2) / self.d)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def rotate(self, x):
        t = x.shape[-2]
        a, b = SPLIT
        cos, sin = self.cos[:t], self.sin[:t]
        return JOIN

    def forward(self, x):
        b, t, _ = x.shape
        q, k, v = (f(x).view(b, t, self.h, self.d).transpose(1, 2) for f in (self.q_proj, self.k_proj, self.v_proj))
        q, k = self.rotate(q), self.rotate(k)
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.d)
        scores = scores.masked_fill(torch.triu(torch.ones(t, t, dtype=torch.bool), 1), float("-inf"))
        return self.o_proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, t, -1))
"""
PAIRINGS = {
    "halves": ("x.chunk(2, -1)", "torch.cat([a * cos - b * sin, b * cos + a * sin], -1)"),
    "neighbours": ("x[..., ::2], x[..., 1::2]", "torch.stack([a * cos - b * sin, b * cos + a * sin], -1).flatten(-2)"),
}


def module_source(pairing: str) -> str:
    split, join = PAIRINGS[pairing]
    return MODULE.replace("SPLIT", split).replace("JOIN", join)


@pytest.mark.parametrize("rotation", ROTATIONS, ids=str)
def test_rotating_backwards_undoes_it_and_scores_depend_on_distances_only(rotation: Rotation) -> None:
    generator = torch.Generator().manual_seed(0)
    query, key = (torch.randn(2, 3, 7, 8, generator=generator, dtype=torch.float64) for _ in range(2))

    torch.testing.assert_close(rotate(rotate(query, rotation), rotation, backwards=True), query)
    scores = rotate(query, rotation) @ rotate(key, rotation).mT
    shifted = rotate(query, rotation, first_position=5) @ rotate(key, rotation, first_position=5).mT
    torch.testing.assert_close(scores, shifted)
    assert (scores - query @ key.mT).abs().max() > 0.1


@pytest.mark.parametrize("rotation", ROTATIONS, ids=str)
@pytest.mark.parametrize("scaling", [None, 1.0, 0.01])
@pytest.mark.parametrize("masked", [True, False])
def test_the_rotation_is_found_whatever_scale_and_mask_are(
    rotation: Rotation, scaling: float | None, masked: bool
) -> None:
    def attend(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor) -> Tensor:
        query, key = rotate(query, rotation), rotate(key, rotation)
        return reference_attention(query, key, value, keep_mask if masked else None, scaling=scaling)[0]

    assert find_rotation(attend, 4, 64, seed=0, base=rotation.base) == rotation


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_the_rotation_is_found_where_scores_are_multiplied_by_the_mask(rotation: Rotation) -> None:
    def attend(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor) -> Tensor:
        scores = rotate(query, rotation) @ rotate(key, rotation).transpose(-2, -1)
        return (scores * keep_mask).softmax(-1) @ value

    assert find_rotation(attend, 4, 64, seed=0, base=rotation.base) == rotation


def rotate_key_only(query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    return query, rotate(key, ROTATIONS[0])


def rotate_differently(query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    return rotate(query, ROTATIONS[0]), rotate(key, ROTATIONS[1])


def rotate_with_other_sign(query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    return rotate(query, ROTATIONS[0], backwards=True), rotate(key, ROTATIONS[0], backwards=True)


def rotate_with_other_base(query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    return rotate(query, ROTATIONS[2]), rotate(key, ROTATIONS[2])


def rotate_from_the_second(query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    return rotate(query, ROTATIONS[0], first_position=1), rotate(key, ROTATIONS[0])


@pytest.mark.parametrize("wrong", [rotate_key_only, rotate_differently, rotate_with_other_sign, rotate_from_the_second])
def test_a_wrong_rotation_does_not_equal_the_reference(
    wrong: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
) -> None:
    def attend(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor) -> Tensor:
        return reference_attention(*wrong(query, key), value, keep_mask)[0]

    rotation = find_rotation(attend, 4, 64, seed=0)
    generator = torch.Generator().manual_seed(1)
    query, key, value = (torch.randn(2, 4, 6, 64, generator=generator) for _ in range(3))
    keep_mask = torch.ones(6, 6, dtype=torch.bool).tril()[None, None]
    given = (query, key) if rotation is None else [rotate(each, rotation, backwards=True) for each in (query, key)]
    expected = reference_attention(query, key, value, keep_mask)[0]
    assert (attend(*given, value, keep_mask) - expected).abs().max() > 0.1


def test_without_a_rotation_none_is_found() -> None:
    def attend(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor) -> Tensor:
        return reference_attention(query, key, value, keep_mask)[0]

    assert find_rotation(attend, 4, 64, seed=0) is None


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_a_module_that_rotates_equals_the_reference(workshop: Workshop, pairing: str) -> None:
    student = workshop.student(module_source(pairing))
    attention = fit(student, student.contract, seed=0)
    generator = torch.Generator().manual_seed(1)
    query, key, value = (torch.randn(2, 3, 6, 64, generator=generator) for _ in range(3))
    keep_mask = torch.ones(6, 6, dtype=torch.bool).tril()[None, None]
    with torch.no_grad():
        output = attention(query, key, value, keep_mask)

    torch.testing.assert_close(output, reference_attention(query, key, value, keep_mask)[0], atol=1e-5, rtol=1e-5)
    assert [each.why for each in attention.adaptations if each.name == "rotary"] == [str(Rotation(pairing, BASE))]


def test_where_the_model_adds_positions_itself_it_is_named_with_the_remedy(workshop: Workshop) -> None:
    student = workshop.student(module_source("halves"))
    with pytest.raises(SubmissionError, match=r"rotary positions .* adds positions itself") as caught:
        fit(student, student.contract, seed=0, steps=LayerSteps(rotary_base=None))
    assert "--attn-model=mini-llama" in caught.value.remedy


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("q = apply_rope(q)", True),
        ("class RotaryEmbedding(nn.Module): pass", True),
        ("def forward(self, x, cos, sin): pass", True),
        ("xq = apply(xq, freqs_cis)", True),
        ("inv_freq = 1 / theta", True),
        ("europe = 'a rope'.upper", True),
        ("europe = properties.cosine", False),
        ("q = k  # no rotary positions", False),
    ],
)
def test_rotary_positions_are_seen_in_the_source(source: str, expected: bool) -> None:
    assert mentions_rotary_positions(source) is expected
