"""Rotary positions as arguments: each name has a role, and each way to pass tables is found by trial."""

from __future__ import annotations

import pytest
import torch

from pytest_attn_grader.attention.reference import reference_attention
from pytest_attn_grader.attention.rotation import BASE, Rotation, rotate
from pytest_attn_grader.models.architectures import LayerSteps
from pytest_attn_grader.submission.adapt import fit
from pytest_attn_grader.submission.parameter_names import rotary_role
from pytest_attn_grader.submission.rotary import TableStyle, make_tables, table_styles
from tests.support.students import Workshop

MODULE = """
import math, torch
from torch import nn

def rotate_half(x):
    a, b = x.chunk(2, -1)
    return torch.cat((-b, a), -1)

class Attention(nn.Module):
    def __init__(self, d_model, num_heads):
        super().__init__()
        self.h, self.d = num_heads, d_model // num_heads
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(d_model, d_model, bias=False) for _ in range(4))

    def forward(self, x, ARGUMENTS):
        b, t, _ = x.shape
        q, k, v = (f(x).view(b, t, self.h, self.d).transpose(1, 2) for f in (self.q_proj, self.k_proj, self.v_proj))
        q, k = (ROTATED for z in (q, k))
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.d)
        scores = scores.masked_fill(torch.triu(torch.ones(t, t, dtype=torch.bool), 1), float("-inf"))
        return self.o_proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, t, -1))
"""
HALVES = "torch.cat((z.chunk(2, -1)[0] * c - z.chunk(2, -1)[1] * s, z.chunk(2, -1)[1] * c + z.chunk(2, -1)[0] * s), -1)"
COMPLEX = "torch.view_as_real(torch.view_as_complex(z.unflatten(-1, (-1, 2)).contiguous()) * FACTORS).flatten(-2)"
STYLES = {
    "cos and sin, half": ("cos, sin", HALVES.replace("* c", "* cos").replace("* s", "* sin"), "halves"),
    "cos and sin, whole": ("cos, sin", "z * cos + rotate_half(z) * sin", "halves"),
    "a pair with a batch": (
        "position_embeddings",
        "z * position_embeddings[0].unsqueeze(1) + rotate_half(z) * position_embeddings[1].unsqueeze(1)",
        "halves",
    ),
    "a pair with a default": (
        "rope=None",
        f"({HALVES.replace('* c', '* rope[0]').replace('* s', '* rope[1]')} if rope else z)",
        "halves",
    ),
    "side by side": (
        "cos, sin",
        "z * cos + torch.stack((-z[..., 1::2], z[..., ::2]), -1).flatten(-2) * sin",
        "neighbours",
    ),
    "before the transposition": (
        "cos, sin",
        "(z.transpose(1, 2) * cos + rotate_half(z.transpose(1, 2)) * sin).transpose(1, 2)",
        "halves",
    ),
    "complex": ("freqs_cis", COMPLEX.replace("FACTORS", "freqs_cis"), "neighbours"),
    "complex numbers as pairs": (
        "freqs_cis",
        "torch.stack((z[..., ::2] * freqs_cis[..., 0] - z[..., 1::2] * freqs_cis[..., 1], "
        "z[..., 1::2] * freqs_cis[..., 0] + z[..., ::2] * freqs_cis[..., 1]), -1).flatten(-2)",
        "neighbours",
    ),
    "start_pos": ("start_pos, freqs_cis", COMPLEX.replace("FACTORS", "freqs_cis[start_pos:]"), "neighbours"),
    "positions": (
        "token_positions",
        COMPLEX.replace(
            "FACTORS",
            "torch.polar(torch.ones(t, self.d // 2), token_positions[:, None] "
            "* 10000.0 ** (-torch.arange(0, self.d, 2) / self.d))",
        ),
        "neighbours",
    ),
    "positions with a default that does not work": (
        "token_positions=None",
        COMPLEX.replace(
            "FACTORS",
            "torch.polar(torch.ones(t, self.d // 2), token_positions[..., None] "
            "* 10000.0 ** (-torch.arange(0, self.d, 2) / self.d))",
        ),
        "neighbours",
    ),
}


@pytest.mark.parametrize("style", STYLES)
def test_a_module_that_takes_rotary_arguments_equals_the_reference(workshop: Workshop, style: str) -> None:
    arguments, rotated, pairing = STYLES[style]
    student = workshop.student(MODULE.replace("ARGUMENTS", arguments).replace("ROTATED", rotated), name="Attention")
    attention = fit(student, student.contract, seed=0)
    generator = torch.Generator().manual_seed(1)
    query, key, value = (torch.randn(2, 3, 6, 64, generator=generator) for _ in range(3))
    keep_mask = torch.ones(6, 6, dtype=torch.bool).tril()[None, None]
    with torch.no_grad():
        output = attention(query, key, value, keep_mask)

    torch.testing.assert_close(output, reference_attention(query, key, value, keep_mask)[0], atol=1e-5, rtol=1e-5)
    notes = {each.name: each.why for each in attention.adaptations}
    assert f"of base {BASE:g}" in notes["rotary-tables"]
    assert str(Rotation(pairing, BASE)) == notes["rotary"]


def test_where_the_model_has_no_rotary_positions_the_tables_rotate_by_nothing(workshop: Workshop) -> None:
    arguments, rotated, _ = STYLES["cos and sin, half"]
    student = workshop.student(MODULE.replace("ARGUMENTS", arguments).replace("ROTATED", rotated), name="Attention")
    attention = fit(student, student.contract, seed=0, steps=LayerSteps(rotary_base=None))

    notes = {each.name: each.why for each in attention.adaptations}
    assert "rotate by nothing" in notes["rotary-tables"]
    assert "rotary" not in notes


def test_positions_that_are_added_are_left_at_their_default(workshop: Workshop) -> None:
    source = MODULE.replace("ARGUMENTS", "position_embeddings=None").replace("ROTATED", "z")
    source = source.replace(
        "        b, t, _",
        "        if position_embeddings is not None:\n            x = x + position_embeddings\n        b, t, _",
    )
    student = workshop.student(source, name="Attention")
    attention = fit(student, student.contract, seed=0, steps=LayerSteps(rotary_base=None))

    assert "rotary_pair" not in attention.contract.roles


def test_a_helper_that_rotates_is_not_the_attention(workshop: Workshop) -> None:
    arguments, rotated, _ = STYLES["cos and sin, half"]
    helper = "\ndef apply_rotary(x, cos, sin):\n    return x * cos\n"
    student = workshop.student(MODULE.replace("ARGUMENTS", arguments).replace("ROTATED", rotated) + helper)

    assert student.contract.candidate.name == "Attention"


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("cos", "rotary_cos"),
        ("freqs_cis", "rotary_complex"),
        ("Position_ids", "rotary_positions"),
        ("mask", None),
        ("cos_emb", "rotary_cos"),
        ("freq_sin", "rotary_sin"),
        ("cos_and_sin", "rotary_pair"),
        ("cosine_scale", None),
    ],
)
def test_names_have_roles(name: str, role: str | None) -> None:
    assert rotary_role(name) == role


def test_only_what_takes_rotary_arguments_is_tried_with_tables() -> None:
    assert table_styles({"hidden_states", "mask"}, BASE) == (None,)
    assert len(table_styles({"rotary_cos", "rotary_sin"}, BASE)) == 12
    assert len(table_styles({"rotary_complex"}, BASE)) == 8


@pytest.mark.parametrize("width", ["halves", "neighbours"])
def test_tables_rotate_as_the_formula_does(width: str) -> None:
    states = torch.randn(2, 3, 5, 8, generator=torch.Generator().manual_seed(0))
    tables = make_tables(TableStyle(width, "(seq, width)", BASE), 5, 8, torch.float32)  # type: ignore[arg-type]
    if width == "halves":
        first, second = states.chunk(2, -1)
        other = torch.cat((-second, first), -1)
    else:
        other = torch.stack((-states[..., 1::2], states[..., ::2]), -1).flatten(-2)
    rotated = states * tables["rotary.cos"] + other * tables["rotary.sin"]

    torch.testing.assert_close(rotated, rotate(states, Rotation(width, BASE)))  # type: ignore[arg-type]
