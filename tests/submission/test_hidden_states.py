"""Queries and keys of one text or of two, and a causal mask that only one text can have."""

from __future__ import annotations

import pytest

from pytest_attn_grader.attention.probes import SPEC_BY_NAME, build_probe
from pytest_attn_grader.models.architectures import LayerSteps
from pytest_attn_grader.submission.adapt import fit
from pytest_attn_grader.submission.student_attention import StudentAttention
from pytest_attn_grader.submission.trials import is_right, is_right_on
from tests.support.students import Workshop

MODULE = """
import torch
from torch import nn

class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, num_heads, SWITCH):
        super().__init__()
        self.num_heads = num_heads
        SETTING
        self.w_q, self.w_k, self.w_v, self.w_o = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, query, key, value, MASK):
        split = lambda states: states.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        q, k, v = split(self.w_q(query)), split(self.w_k(key)), split(self.w_v(value))
        scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
        triangle = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(DIAGONAL)
        LINES
        return self.w_o((scores.softmax(dim=-1) @ v).transpose(1, 2).flatten(2))
"""
MASKED = "scores = scores.masked_fill(mask == 0, -1e9)"
HIDDEN = "scores = scores.masked_fill(triangle, -1e9)"
PADDED = "scores = scores if mask is None else scores.masked_fill(mask[:, None, None, :] == 0, -1e9)"
SWITCHED = "scores = scores.masked_fill(triangle, -1e9) if self.causal else scores"
TOP_LEFT, BOTTOM_RIGHT = "1", "1 + scores.shape[-1] - scores.shape[-2]"


def source_of(*lines: str, switch: str = "causal=False", mask: str = "mask", diagonal: str = TOP_LEFT) -> str:
    name = switch.partition("=")[0]
    source = MODULE.replace("SWITCH", switch).replace("SETTING", f"self.{name} = {name}" if name else "pass")
    source = source.replace("MASK", mask).replace("DIAGONAL", diagonal)
    return source.replace("LINES", "\n        ".join(lines))


def fitted(workshop: Workshop, source: str, steps: LayerSteps | None = None) -> StudentAttention:
    student = workshop.student(source)
    return fit(student, student.contract, seed=1, steps=steps or LayerSteps())


RIGHT = {
    "a mask, and a switch that is not needed": source_of(MASKED, SWITCHED),
    "a mask that a switch turns on": source_of(f"if self.masked: {MASKED}", switch="masked=False"),
    "padding, and a switch for the future": source_of(PADDED, SWITCHED, mask="mask=None", diagonal=BOTTOM_RIGHT),
    "a mask alone": source_of(MASKED, switch=""),
}


@pytest.mark.parametrize("kind", RIGHT)
def test_a_switch_is_on_where_the_mask_is_not_enough(kind: str, workshop: Workshop) -> None:
    attention = fitted(workshop, RIGHT[kind])
    assert is_right(attention, 1)
    assert all(is_right_on(attention, build_probe(SPEC_BY_NAME[name], seed=1)) for name in ("decode", "chunk"))
    assert "one-text" not in {each.name for each in attention.adaptations}


@pytest.mark.parametrize(
    "source",
    [
        source_of(HIDDEN, switch="", mask=""),
        source_of("mask = key_padding_mask", PADDED, HIDDEN, switch="", mask="key_padding_mask=None"),
    ],
)
def test_a_module_that_hides_the_future_and_has_no_cache_sees_whole_texts(source: str, workshop: Workshop) -> None:
    attention = fitted(workshop, source)
    assert {each.name: each.why for each in attention.adaptations}["one-text"] == (
        "it has no cache, and takes no mask: queries and keys are always of one text"
    )
    assert attention.unsupported_reason(build_probe(SPEC_BY_NAME["decode"], seed=1)) is not None
    assert is_right_on(attention, build_probe(SPEC_BY_NAME["unpadded"], seed=1))


def test_a_wrong_triangle_beside_a_mask_is_not_forgiven(workshop: Workshop) -> None:
    attention = fitted(workshop, source_of(MASKED, HIDDEN, switch=""))
    assert is_right(attention, 1)
    assert not is_right_on(attention, build_probe(SPEC_BY_NAME["decode"], seed=1))


@pytest.mark.parametrize("default", [True, False])
def test_in_a_model_that_hides_nothing_the_switch_is_off(default: bool, workshop: Workshop) -> None:
    source = source_of(SWITCHED, switch=f"causal={default}", mask="")
    attention = fitted(workshop, source, LayerSteps(is_causal=False))
    assert is_right_on(attention, build_probe(SPEC_BY_NAME["unpadded"], seed=1, is_bidirectional=True))
    assert is_right_on(fitted(workshop, source), build_probe(SPEC_BY_NAME["unpadded"], seed=1))


@pytest.mark.parametrize("default", [True, False])
def test_a_switch_of_a_call_is_off_there_too(default: bool, workshop: Workshop) -> None:
    source = f"""
from torch.nn.functional import scaled_dot_product_attention

def attention(query, key, value, is_causal={default}):
    return scaled_dot_product_attention(query, key, value, is_causal=is_causal)
"""
    attention = fitted(workshop, source, LayerSteps(is_causal=False))
    assert is_right_on(attention, build_probe(SPEC_BY_NAME["unpadded"], seed=1, is_bidirectional=True))
    assert dict(attention.contract.notes)["switch"] == "is_causal is passed as False"
