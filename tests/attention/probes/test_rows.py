from __future__ import annotations

from dataclasses import replace
from math import isnan

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pytest_attn_grader.attention.probes import ProbeSpec, build_probe, max_abs, max_abs_error, real_rows
from tests.attention.probes.samples import SPECS, basic

INF, NAN = float("inf"), float("nan")


@given(SPECS)
def test_judged_rows_one_by_one(spec: ProbeSpec) -> None:
    probe = build_probe(spec, seed=7)
    rows = [probe.query[example, :, row] for example, row in probe.real_rows.nonzero().tolist()]
    assert torch.equal(real_rows(probe.query, probe), torch.stack(rows))


@given(SPECS, st.data())
def test_largest_error_is_the_largest(spec: ProbeSpec, data: st.DataObject) -> None:
    probe = build_probe(spec, seed=7)
    student = probe.query + torch.randn_like(probe.query)
    expected = 0.0
    for example in range(spec.batch_size):
        for row in range(spec.query_len):
            if probe.real_rows[example, row]:
                one, other = student[example, :, row].double(), probe.query[example, :, row].double()
                expected = max(expected, float((one - other).abs().max()))
    assert max_abs_error(student, probe.query, probe) == expected


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_a_number_that_is_none_is_infinitely_far(bad: float) -> None:
    probe = basic()
    student = probe.query.clone()
    student[0, 0, 0, 0] = bad
    assert max_abs_error(student, probe.query, probe) == INF


def test_padded_rows_may_hold_anything() -> None:
    probe = basic()
    student = probe.query.clone()
    student.transpose(1, 2)[~probe.real_rows] = NAN
    assert max_abs_error(student, probe.query, probe) == 0.0
    student[0, 0, 0, 0] = NAN
    assert max_abs_error(student, probe.query, probe) == INF


def test_another_shape_is_infinitely_far() -> None:
    probe = basic()
    assert max_abs_error(probe.query[..., :1], probe.query, probe) == INF
    assert max_abs_error(probe.query.transpose(1, 2), probe.query, probe) == INF


def test_nothing_to_judge_is_no_error() -> None:
    probe = basic()
    nobody = replace(probe, real_rows=torch.zeros_like(probe.real_rows))
    assert max_abs_error(probe.query + 1, probe.query, nobody) == 0.0


def test_largest_error_is_taken_in_double_precision() -> None:
    probe = basic("float16")
    # Two float16 numbers whose difference overflows float16.
    assert max_abs_error(torch.full_like(probe.query, 6e4), torch.full_like(probe.query, -6e4), probe) == 120000.0


@given(st.lists(st.floats(allow_nan=True, width=32), max_size=6))
def test_largest_size(numbers: list[float]) -> None:
    expected = max((INF if isnan(number) else abs(number) for number in numbers), default=0.0)
    assert max_abs(torch.tensor(numbers, dtype=torch.float32)) == expected
