"""Modules whose query heads share keys and values: constructed with fewer key/value heads, whatever they call them."""

from __future__ import annotations

import pytest
import torch

from pytest_attn_grader.attention.probes import SPEC_BY_NAME, build_probe
from pytest_attn_grader.attention.tolerances import derive_tolerance
from pytest_attn_grader.submission.adapt import fit
from pytest_attn_grader.submission.student_attention import NO_GROUPS
from tests.support.students import Workshop

MODULE = """
import math, torch
from torch import nn

class Attention(nn.Module):
    def __init__(self, SIGNATURE):
        super().__init__()
        SIZES
        self.h, self.g, self.d = heads, groups, width // heads
        PROJECTIONS
        self.o_proj = nn.Linear(width, width, bias=False)

    def forward(self, x, mask=None):
        b, t, _ = x.shape
        q, k, v = self.split(x)
        q = q.reshape(b, t, self.h, self.d).transpose(1, 2)
        k, v = (z.reshape(b, t, self.g, self.d).transpose(1, 2) for z in (k, v))
        k, v = (SHARED for z in (k, v))
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.d)
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        return self.o_proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, t, -1))

    def split(self, x):
        return SPLIT
"""
SIZES = "width, heads, groups = d_model, num_heads, num_kv_heads"
SEPARATE = """
        self.q_proj = nn.Linear(width, width, bias=False)
        self.k_proj = nn.Linear(width, groups * self.d, bias=False)
        self.v_proj = nn.Linear(width, groups * self.d)"""
FUSED = "self.qkv = nn.Linear(width, (heads + 2 * groups) * self.d)"
REPEATED = "z.repeat_interleave(self.h // self.g, dim=1)"
OWN_MATRICES = "self.q_proj(x), self.k_proj(x), self.v_proj(x)"
SIDE_BY_SIDE = "self.qkv(x).split([self.h * self.d, self.g * self.d, self.g * self.d], -1)"
BY_GROUP = "self.qkv(x).reshape(x.shape[0], x.shape[1], self.g, -1, self.d).split([self.h // self.g, 1, 1], -2)"


def module_source(
    signature: str = "d_model, num_heads, num_kv_heads",
    *,
    sizes: str = SIZES,
    projections: str = SEPARATE,
    split: str = OWN_MATRICES,
    shared: str = REPEATED,
) -> str:
    parts = {"SIGNATURE": signature, "SIZES": sizes, "PROJECTIONS": projections, "SPLIT": split, "SHARED": shared}
    source = MODULE
    for name, text in parts.items():
        source = source.replace(name, text)
    return source


def largest_error(workshop: Workshop, source: str, probe_name: str) -> tuple[float, float]:
    """The error of the output on a probe, and the largest error of a right answer."""
    student = workshop.student(source)
    attention = fit(student, student.contract, seed=0)
    probe = build_probe(SPEC_BY_NAME[probe_name], seed=0)
    assert attention.unsupported_reason(probe) is None
    exact, tolerance = derive_tolerance(probe)
    result = attention.run_probe(probe)
    assert result.attn_output is not None, result.failure
    assert exact.attn_output is not None
    error = (result.attn_output.double() - exact.attn_output).abs().max()
    return float(error), tolerance.tolerance["attn_output"]


STYLES = {
    "separate": module_source(),
    "default": module_source("d_model, num_heads, num_kv_heads=2"),
    "key first": module_source(
        projections="""
        self.k_proj = nn.Linear(width, groups * self.d, bias=False)
        self.v_proj = nn.Linear(width, groups * self.d)
        self.q_proj = nn.Linear(width, width, bias=False)"""
    ),
    "fused": module_source(projections=FUSED, split=SIDE_BY_SIDE),
    "by group": module_source(projections=FUSED, split=BY_GROUP),
    "config": module_source("config", sizes="width, heads, groups = config.dim, config.n_heads, config.n_kv_heads"),
    "query heads a group": module_source(
        "d_model, num_heads, n_rep", sizes="width, heads, groups = d_model, num_heads, num_heads // n_rep"
    ),
}


@pytest.mark.sampled(8)
@pytest.mark.parametrize("probe", ["groups", "multi-query"])
@pytest.mark.parametrize("style", STYLES)
def test_a_module_with_groups_equals_the_reference(workshop: Workshop, style: str, probe: str) -> None:
    error, tolerance = largest_error(workshop, STYLES[style], probe)

    assert error <= tolerance


def test_groups_that_are_tiled_do_not_equal_the_reference(workshop: Workshop) -> None:
    tiled = module_source(shared="z.repeat(1, self.h // self.g, 1, 1)")

    assert largest_error(workshop, tiled, "groups")[0] > 0.1
    error, tolerance = largest_error(workshop, tiled, "basic")
    assert error <= tolerance, "with a key for every query head nothing is shared"


def test_without_a_number_of_groups_none_are_asked_for(workshop: Workshop) -> None:
    student = workshop.student(
        module_source("d_model, num_heads", sizes="width, heads, groups = d_model, num_heads, num_heads")
    )
    attention = fit(student, student.contract, seed=0)

    assert not attention.takes_groups
    assert attention.unsupported_reason(build_probe(SPEC_BY_NAME["groups"], seed=0)) == NO_GROUPS


def test_heads_of_a_model_with_groups_come_as_they_are(workshop: Workshop) -> None:
    student = workshop.student(STYLES["separate"])
    attention = fit(student, student.contract, seed=0)
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(2, 4, 6, 64, generator=generator)
    key, value = (torch.randn(2, 2, 6, 64, generator=generator) for _ in range(2))
    with torch.no_grad():
        shared = attention(query, key, value)
        repeated = attention(query, key.repeat_interleave(2, 1), value.repeat_interleave(2, 1))

    assert attention.takes_groups
    assert isinstance(shared, torch.Tensor)
    assert isinstance(repeated, torch.Tensor)
    torch.testing.assert_close(shared, repeated, atol=1e-5, rtol=1e-5)
    constructed = [made.arguments for made in student.info().constructed]
    assert any(arguments.get("num_kv_heads") == 2 for arguments in constructed)
