"""Which projection a module's parameter belongs to, by its name."""

from __future__ import annotations

import pytest

from pytest_attn_grader.submission.projections.role_patterns import (
    is_bias,
    packing_order,
    role_of_parameter,
    roles_by_number,
)
from pytest_attn_grader.submission.remote.messages import RemoteParameter


def parameter(name: str) -> RemoteParameter:
    return RemoteParameter(name, (8, 8), "float32", "Linear")


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("q_proj.weight", "q"), ("W_key.weight", "k"), ("to_v.weight", "v"), ("out_proj.weight", "o"),
        ("c_attn.weight", "qkv"), ("query_key_value.weight", "qkv"), ("kv_proj.weight", "kv"), ("wo.weight", "o"),
        ("heads.0.query.weight", "q"), ("query.linear.weight", "q"), ("layers.1.fc.weight", "o"), ("norm.weight", None),
        ("_query_layers.0.weight", "q"), ("_w_o.weight", "o"), ("conv_v.weight", "v"), ("key_conv.weight", "k"),
        ("q0.weight", "q"), ("key_head_12.weight", "k"), ("fc1.weight", None), ("w3", None),
    ],
)  # fmt: skip
def test_roles(name: str, role: str | None) -> None:
    assert role_of_parameter(parameter(name)) == role


@pytest.mark.parametrize(
    ("name", "order"), [("to_qkv.weight", "qkv"), ("kqv", None), ("value_key_query", None), ("in_proj_weight", None)]
)
def test_order_in_a_fused_projection(name: str, order: str | None) -> None:
    assert packing_order(name) == order


@pytest.mark.parametrize(("name", "expected"), [("q.bias", True), ("b_q", True), ("block.q", False), ("w_q", False)])
def test_biases(name: str, expected: bool) -> None:
    assert is_bias(parameter(name)) == expected


@pytest.mark.parametrize(
    ("first", "second"), [("012", "01"), ("01", "123"), ("579", "24"), ("01", "\u0661\u0662\u0663")]
)
def test_numbers_of_lists_in_lists_may_begin_anywhere(first: str, second: str) -> None:
    found = roles_by_number([parameter(f"l.{one}.{other}.weight") for one in first for other in second])
    assert {role: len(members) for role, members in found.items()} == {"q": 2, "k": 2, "v": 2}


def test_a_digit_that_is_no_number_is_a_name() -> None:
    assert roles_by_number([parameter(f"l.{each}.weight") for each in "\u00b2\u00b3\u2460"]) == {}
