"""Return values of a student's function, as output and weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pytest_attn_grader.attention.probes import SPEC_BY_NAME, build_probe
from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.submission.adapt import fit
from pytest_attn_grader.submission.remote.messages import CallReply, ResultTree
from pytest_attn_grader.submission.return_values import parse_result
from tests.support.students import Workshop

OUTPUT, WEIGHTS = torch.zeros(2, 3, 5, 8), torch.full((2, 3, 5, 5), 0.2)
SHAPES = (tuple(OUTPUT.shape), tuple(WEIGHTS.shape))


def reply(kind: str, *values: Tensor | None, keys: tuple[str, ...] = ()) -> CallReply:
    names = [f"result.{number}" for number in range(len(values))]
    items = tuple(
        ResultTree("none") if value is None else ResultTree("tensor", name)
        for name, value in zip(names, values, strict=True)
    )
    tensors = {name: value for name, value in zip(names, values, strict=True) if value is not None}
    structure = items[0] if kind == "tensor" else ResultTree(kind, items=items, keys=keys)
    return CallReply(structure, tensors, {}, None, 0.0, {}, {}, {})


@pytest.mark.parametrize(
    ("given", "has_weights"),
    [
        (reply("tensor", OUTPUT), False),
        (reply("tuple", OUTPUT, WEIGHTS), True),
        (reply("list", OUTPUT, WEIGHTS), True),
        (reply("tuple", OUTPUT, None), False),
        (reply("tuple", OUTPUT, OUTPUT, OUTPUT), False),  # key and value for a cache
        (reply("tuple", OUTPUT, OUTPUT, WEIGHTS), True),
        (reply("dict", WEIGHTS, OUTPUT, keys=("attn_probs", "context")), True),
        (reply("dict", OUTPUT, keys=("anything",)), False),
    ],
)
def test_output_and_weights_are_found(given: CallReply, has_weights: bool) -> None:
    output, weights = parse_result(given, *SHAPES)
    assert output is OUTPUT
    assert (weights is WEIGHTS) if has_weights else (weights is None)
    assert output is OUTPUT


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (reply("tuple", WEIGHTS, OUTPUT), "swapped"),
        (reply("none"), "None"),
        (reply("tuple"), "an empty tuple"),
        (reply("tensor", OUTPUT.long()), "torch.int64"),
        (reply("tuple", OUTPUT, WEIGHTS.bool()), "torch.bool"),
        (reply("dict", OUTPUT, WEIGHTS, keys=("a", "b")), "a, b"),
    ],
)
def test_what_cannot_be_used_is_named(given: CallReply, words: str) -> None:
    with pytest.raises(SubmissionError, match=words) as raised:
        parse_result(given, *SHAPES)
    assert raised.value.name == "malformed-reply"
    assert raised.value.remedy


MODULE = """
import torch

class Attention(torch.nn.Module):
    def __init__(self, d_model, num_heads):
        super().__init__()
        self.h = num_heads
        self.qkv, self.out = torch.nn.Linear(d_model, 3 * d_model), torch.nn.Linear(d_model, d_model)

    def forward(self, x, mask=None):
        b, t, d = x.shape
        q, k, v = self.qkv(x).view(b, t, 3, self.h, -1).permute(2, 0, 3, 1, 4)
        scores = q @ k.mT / q.shape[-1] ** 0.5
        weights = scores.masked_fill(~mask, float("-inf")).softmax(-1)
        return self.out((weights @ v).transpose(1, 2).reshape(b, t, d)), SECOND
"""


@pytest.mark.parametrize(("second", "is_noted"), [("scores", True), ("weights", False), ("None", False)])
def test_scores_in_the_place_of_weights_are_said(workshop: Workshop, second: str, is_noted: bool) -> None:
    student = workshop.student(MODULE.replace("SECOND", second))
    attention = fit(student, student.contract, seed=1)
    assert ("scores-returned" in {each.name for each in attention.adaptations}) is is_noted
    probe = build_probe(SPEC_BY_NAME["basic"], seed=1)
    result = attention.run_probe(probe)
    assert result.weights_returned is (second == "weights")
    assert result.attn_weights is not None
    assert bool((result.attn_weights > -1e-6).all())
