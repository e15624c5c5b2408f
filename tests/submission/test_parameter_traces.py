"""The number of heads of a module that takes none: it is traced, and a single head stays one."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import pytest

from pytest_attn_grader.attention.probes import SPEC_BY_NAME
from pytest_attn_grader.submission.adapt import fit
from pytest_attn_grader.submission.module_attention import ModuleAttention
from pytest_attn_grader.submission.trials import is_right_on

if TYPE_CHECKING:
    from tests.support.students import Workshop

MODULE = textwrap.dedent(
    """
    import torch
    from torch import nn

    class SelfAttention(nn.Module):
        def __init__(self, SIGNATURE):
            super().__init__()
            self.q, self.k, self.v, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))

        def forward(self, x):
            b, n, c = x.shape
            q, k, v = (layer(x).SPLIT for layer in (self.q, self.k, self.v))
            scores = q @ k.transpose(-2, -1) / SCALE
            hidden = torch.ones(n, n, dtype=torch.bool).triu(1)
            weights = scores.masked_fill(hidden, float("-inf")).softmax(AXIS)
            return self.out((weights.nan_to_num() @ v).MERGE.reshape(b, n, c))
    """
)
SPLITS = {
    "reshape": ("view(b, n, 8, 32).transpose(1, 2)", "transpose(1, 2)"),
    "chunk": ("unflatten(-1, (8, -1)).permute(0, 2, 1, 3)", "permute(0, 2, 1, 3)"),
    "movedim": ("view(b, n, 8, 32).movedim(2, 1)", "movedim(1, 2)"),
    "head_dim": ("view(b, n, c // 32, 32).transpose(1, 2)", "transpose(1, 2)"),
}


def source(split: str = "reshape", *, signature: str = "device='cpu'", axis: int = -1, scale: str = "32**0.5") -> str:
    taken, merged = SPLITS[split]
    width = "256" if signature.startswith("device") else "width"
    filled = {"SIGNATURE": signature, "WIDTH": width, "SPLIT": taken, "MERGE": merged, "SCALE": scale}
    text = MODULE.replace("AXIS", str(axis))
    for word, value in filled.items():
        text = text.replace(word, value)
    return text


def fitted(workshop: Workshop, text: str) -> ModuleAttention:
    student = workshop.student(text)
    attention = fit(student, student.contract, seed=1)
    assert isinstance(attention, ModuleAttention)
    return attention


def sizes_of(attention: ModuleAttention) -> tuple[int, int]:
    shape = attention.oracle.shape_for(4, 64)
    return shape.num_heads, shape.head_dim


@pytest.mark.parametrize("split", SPLITS)
def test_heads_that_are_typed_in_are_found(workshop: Workshop, split: str) -> None:
    attention = fitted(workshop, source(split))
    assert sizes_of(attention) == (8, 32)
    assert [each.why for each in attention.adaptations if each.name == "heads"] == [
        "it takes no number of heads: its outputs depend on queries and keys in 8 heads of 32 features"
    ]
    assert is_right_on(attention, attention.make_probe(SPEC_BY_NAME["unpadded"], seed=1))


@pytest.mark.parametrize(
    ("split", "scale", "sizes"),
    [("chunk", "(c // 8) ** 0.5", (8, 64)), ("head_dim", "32**0.5", (16, 32))],
)
def test_with_a_width_alone_it_is_as_wide_as_its_heads_need(
    workshop: Workshop, split: str, scale: str, sizes: tuple[int, int]
) -> None:
    attention = fitted(workshop, source(split, signature="width", scale=scale))
    assert sizes_of(attention) == sizes
    for name in ("unpadded", "narrow", "basic"):
        spec = SPEC_BY_NAME[name]
        assert spec.padding != "none" or is_right_on(attention, attention.make_probe(spec, seed=1))


def test_heads_that_softmax_mixes_are_counted(workshop: Workshop) -> None:
    attention = fitted(workshop, source(axis=1))
    assert sizes_of(attention) == (8, 32)
    assert not is_right_on(attention, attention.make_probe(SPEC_BY_NAME["unpadded"], seed=1))


@pytest.mark.parametrize("signature", ["device='cpu'", "width"])
@pytest.mark.parametrize(
    "change",
    [
        ("q @ k", "q @ k"),  # one head of all features
        ("scores = q @ k", "scores = q[..., :128] @ k[..., :128]"),
        ("q @ k.transpose(-2, -1)", "(q * q) @ k.transpose(-2, -1).abs()"),
        ("q @ k.transpose(-2, -1)", "torch.zeros(b, n, n)"),
    ],
)
def test_a_single_head_stays_one(workshop: Workshop, signature: str, change: tuple[str, str]) -> None:
    text = source(signature=signature, scale="c**0.5")
    for part in (".view(b, n, 8, 32).transpose(1, 2)", ".transpose(1, 2)"):
        text = text.replace(part, "")
    attention = fitted(workshop, text.replace(*change))
    assert attention.oracle.shape_for(4, 64).num_heads == 1
    assert "one-head" in [each.name for each in attention.adaptations]


def test_an_attribute_of_a_usual_name_counts_more_than_the_trace(workshop: Workshop) -> None:
    text = source().replace("self.q, self.k", "self.num_heads = 4\n        self.q, self.k", 1)
    assert sizes_of(fitted(workshop, text)) == (4, 64)


def test_typed_in_heads_that_rotate_are_asked_about_narrower_ones(workshop: Workshop) -> None:
    rotated = """scores = q @ k.transpose(-2, -1)
        angles = torch.arange(n)[:, None] * 10000.0 ** (-torch.arange(0, 64, 2) / 64)
        cos, sin = torch.cat([angles.cos()] * 2, -1), torch.cat([angles.sin()] * 2, -1)
        q, k = (t * cos + torch.cat((-t[..., 32:], t[..., :32]), -1) * sin for t in (q, k))
        scores = (q @ k.transpose(-2, -1)).type_as(v)"""
    text = source(scale="64**0.5").replace("8, 32", "4, 64").replace("scores = q @ k.transpose(-2, -1)", rotated)
    attention = fitted(workshop, text)
    probe = attention.make_probe(SPEC_BY_NAME["unpadded"], seed=1)
    assert (sizes_of(attention), probe.query.shape[-1]) == ((4, 64), 48)
    assert is_right_on(attention, probe)
