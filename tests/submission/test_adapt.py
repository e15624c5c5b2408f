"""A module is graded before the function that it uses, and the function where the module cannot be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_attn_grader.submission.adapt import fit
from pytest_attn_grader.submission.trials import is_right

if TYPE_CHECKING:
    from tests.support.students import Workshop

SOURCE = """
import torch
from torch import nn

def attend(q, k, v, mask=None):
    scores = q @ k.mT / q.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return scores.softmax(-1) @ v

class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, num_heads{more_sizes}):
        super().__init__()
        self.num_heads = num_heads
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, x{mask}):
        batch, seq, width = x.shape
        q, k, v = (f(x).view(batch, seq, self.num_heads, -1).transpose(1, 2) for f in (self.q, self.k, self.v))
        return self.o(attend(q, k, v{passed}).{merged}reshape(batch, seq, width))
"""
CAUSAL = "torch.ones(seq, seq, dtype=torch.bool).tril()"
PARTS = {"more_sizes": "", "mask": ", mask=None", "passed": ", mask", "merged": "transpose(1, 2)."}


@pytest.mark.parametrize(
    ("parts", "graded", "right", "why"),
    [
        ({}, "MultiHeadAttention", True, None),
        ({"merged": ""}, "MultiHeadAttention", False, None),
        ({"more_sizes": ", oddity"}, "attend", True, "could not be called"),
        ({"passed": ", mask[0, 0, 0, 0, 0]"}, "attend", True, "could not be called"),
        ({"mask": "", "passed": ""}, "attend", True, "takes no mask"),
        # It hides the future by itself, and no padding: what it is not given is not held against it.
        ({"mask": "", "passed": ", " + CAUSAL}, "MultiHeadAttention", False, None),
    ],
)
def test_what_is_graded(workshop: Workshop, parts: dict[str, str], graded: str, right: bool, why: str | None) -> None:
    student = workshop.student(SOURCE.format(**PARTS | parts))
    attention = fit(student, student.contract, seed=1)
    assert is_right(attention, seed=1) == right
    assert student.contract.candidate.name == student.info().name == graded
    notes = [note.why for note in attention.adaptations if note.name == "function-first"]
    start = f"attend is graded: MultiHeadAttention, which uses it, {why}"
    assert [note[: len(start)] for note in notes] == ([start] if why else [])


def test_where_neither_answers_the_module_says_why(workshop: Workshop) -> None:
    parts = PARTS | {"more_sizes": ", oddity"}
    student = workshop.student(SOURCE.format(**parts).replace("scores = q", "scores = nothing"))
    with pytest.raises(Exception, match="oddity"):
        fit(student, student.contract, seed=1)
    assert student.contract.candidate.name == "MultiHeadAttention"
