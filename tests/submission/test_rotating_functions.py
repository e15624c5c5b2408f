"""Functions that rotate query and key themselves: the tables' form and the rotation are found, mistakes stay wrong."""

from __future__ import annotations

import pytest
import torch

from pytest_attn_grader.attention.reference import causal_keep_mask, reference_attention
from pytest_attn_grader.attention.rotation import BASE, Rotation
from pytest_attn_grader.submission.adapt import fit
from pytest_attn_grader.submission.function_attention import FunctionAttention
from pytest_attn_grader.submission.student_attention import CallMode
from tests.support.students import Workshop

FUNCTION = """
import torch

def attention(q, k, v, ARGUMENTS, mask=None):
    q, k = (ROTATED for z in (q, k))
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return scores.softmax(-1) @ v
"""
COMPLEX = "torch.view_as_real(torch.view_as_complex(z.unflatten(-1, (-1, 2)).contiguous()) * freqs_cis).flatten(-2)"


def half_wide(cos: str, sin: str) -> str:
    first, second = "z.chunk(2, -1)[0]", "z.chunk(2, -1)[1]"
    return f"torch.cat(({first} * {cos} - {second} * {sin}, {second} * {cos} + {first} * {sin}), -1)"


def wide(cos: str, sin: str) -> str:
    return f"z * {cos} + torch.cat((-z.chunk(2, -1)[1], z.chunk(2, -1)[0]), -1) * {sin}"


WAYS = {
    "half a head wide": ("cos, sin", half_wide("cos", "sin"), "halves"),
    "a head wide": ("cos, sin", wide("cos", "sin"), "halves"),
    "with an axis for the batch": ("cos, sin", wide("cos[:, None]", "sin[:, None]"), "halves"),
    "a pair": ("cos_sin", wide("cos_sin[0]", "cos_sin[1]"), "halves"),
    "complex factors": ("freqs_cis", COMPLEX, "neighbours"),
}


def fitted(workshop: Workshop, arguments: str, rotated: str) -> FunctionAttention:
    student = workshop.student(FUNCTION.replace("ARGUMENTS", arguments).replace("ROTATED", rotated))
    attention = fit(student, student.contract, seed=5)
    assert isinstance(attention, FunctionAttention)
    return attention


@pytest.mark.parametrize(("arguments", "rotated", "pairing"), WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("query_len", [6, 2])
def test_its_rotation_is_undone_before(
    workshop: Workshop, arguments: str, rotated: str, pairing: str, query_len: int
) -> None:
    attention = fitted(workshop, arguments, rotated)
    assert attention.contract.rotation == Rotation(pairing, BASE)  # type: ignore[arg-type]
    query, key, value = torch.randn(3, 2, 4, 6, 16, generator=torch.Generator().manual_seed(1))
    query, keep_mask = query[..., -query_len:, :], causal_keep_mask(query_len, 6)[None, None]
    expected, _ = reference_attention(query, key, value, keep_mask)
    answer = attention.attend(query, key, value, keep_mask, CallMode(watch_inputs=True))
    torch.testing.assert_close(answer.attn_output, expected)
    given = {"query": query, "key": key, "value": value, "keep_mask": keep_mask}
    assert all(torch.equal(answer.inputs_after[name], tensor) for name, tensor in given.items())


@pytest.mark.parametrize("rotated", ["z", wide("cos", "-sin"), "z * sin + z * cos"])
def test_a_wrong_rotation_stays_wrong(workshop: Workshop, rotated: str) -> None:
    attention = fitted(workshop, "cos, sin", rotated)
    query, key, value = torch.randn(3, 2, 4, 6, 16, generator=torch.Generator().manual_seed(1))
    keep_mask = causal_keep_mask(6)[None, None]
    expected, _ = reference_attention(query, key, value, keep_mask)
    assert (attention.attend(query, key, value, keep_mask).attn_output - expected).abs().max() > 0.1
