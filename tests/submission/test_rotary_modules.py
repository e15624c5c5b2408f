"""A module of rotary positions that the constructor asks for is made from the submission's own class."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.models.architectures import LayerSteps
from pytest_attn_grader.submission.adapt import fit
from pytest_attn_grader.submission.module_attention import ModuleAttention
from pytest_attn_grader.submission.remote.messages import Parameter
from pytest_attn_grader.submission.rotary_modules import takes_rotary_module
from pytest_attn_grader.submission.student import Student
from pytest_attn_grader.submission.target import find_target
from pytest_attn_grader.submission.trials import is_right
from tests.support.students import CALL_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.students import Workshop

ROPE = """
import torch
from torch import nn

class RoPE(nn.Module):
    def __init__(self, dim, max_seq_len=1024, base=10000.0):
        super().__init__()
        angles = torch.outer(torch.arange(max_seq_len).float(), base ** (-torch.arange(0, dim, 2) / dim))
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())

    def forward(self, x):
        cos, sin = self.cos[: x.shape[-2]], self.sin[: x.shape[-2]]
        even, odd = x[..., ::2], x[..., 1::2]
        return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(-2)
"""
ATTENTION = """

class Attention(nn.Module):
    def __init__(self, d_model, num_heads, {name}):
        super().__init__()
        self.num_heads, self.{name} = num_heads, {name}
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, x, mask=None):
        b, t, d = x.shape
        q, k, v = (p(x).view(b, t, self.num_heads, -1).transpose(1, 2) for p in (self.q_proj, self.k_proj, self.v_proj))
        scores = self.{name}(q) @ self.{name}(k).transpose(-2, -1) / q.size(-1) ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        return self.o_proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, t, d))
"""
STEPS = LayerSteps(rotary_base=50_000.0)


@pytest.mark.parametrize(
    ("name", "rope"),
    [
        ("rope", ROPE),
        (
            "rotary_emb",
            ROPE.replace("dim, max_seq_len=1024, base=10000.0", "head_dim, max_seq_len, theta")
            .replace("dim, 2) / dim", "head_dim, 2) / head_dim")
            .replace("base **", "theta **"),
        ),
        ("pos_emb", ROPE.replace("class RoPE", "class Positions")),
    ],
)
def test_it_is_made_with_the_sizes_of_the_model(workshop: Workshop, name: str, rope: str) -> None:
    student = workshop.student(rope + ATTENTION.format(name=name), name="Attention")
    attention = fit(student, student.contract, seed=1, steps=STEPS)
    assert isinstance(attention, ModuleAttention)
    rotation = attention.oracle.conventions.rotation
    assert rotation is not None
    assert rotation.base == 50_000.0
    assert is_right(attention, seed=1)


def test_a_wrong_attention_around_it_is_wrong(workshop: Workshop) -> None:
    wrong = ATTENTION.format(name="rope").replace(" / q.size(-1) ** 0.5", "")
    student = workshop.student(ROPE + wrong, name="Attention")
    assert not is_right(fit(student, student.contract, seed=1, steps=STEPS), seed=1)


def test_a_constructor_that_raises_is_the_submission_s_failure(workshop: Workshop) -> None:
    broken = ROPE.replace("        super().__init__()", "        raise ValueError('odd')")
    student = workshop.student(broken + ATTENTION.format(name="rope"), name="Attention")
    with pytest.raises(SubmissionError, match="odd"):
        fit(student, student.contract, seed=1, steps=STEPS)


def test_of_two_the_annotation_says_which(workshop: Workshop) -> None:
    other = ROPE.replace("class RoPE", "class OtherRoPE").replace("even * cos - odd * sin", "even * cos + odd * sin")
    text = ROPE + other + ATTENTION.format(name="turn").replace("num_heads, turn)", "num_heads, turn: RoPE)")
    student = workshop.student(text, name="Attention")
    assert is_right(fit(student, student.contract, seed=1, steps=STEPS), seed=1)


def test_it_may_come_from_another_file(tmp_path: Path) -> None:
    (tmp_path / "positions.py").write_text(ROPE, encoding="utf-8")
    (tmp_path / "layer.py").write_text(
        "from torch import nn\nfrom positions import RoPE\n" + ATTENTION.format(name="rope"), encoding="utf-8"
    )
    with closing(Student(find_target("layer.py", tmp_path), call_seconds=CALL_SECONDS, tier="auto")) as student:
        assert [each.name for each in student.description.imported_modules] == ["RoPE"]
        assert [each.name for each in student.description.candidates] == ["Attention"]
        assert is_right(fit(student, student.contract, seed=1, steps=STEPS), seed=1)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rope", True),
        ("turn: RotaryEmbedding", True),
        ("turn: Optional[RoPE]", True),
        ("settings: RoPEConfig", False),
        ("turn: nn.Module", False),
        ("rotary_emb", True),
        ("pos_emb", True),
        ("rope_theta", False),
        ("emb_dim", False),
        ("dim", False),
    ],
)
def test_names(name: str, expected: bool) -> None:
    written, _, annotation = name.partition(": ")
    parameter = Parameter(written, "positional-or-keyword", has_default=False, annotation=annotation or None)
    assert takes_rotary_module(parameter) is expected
