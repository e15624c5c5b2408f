"""Which projection a module's parameter belongs to, by its name."""

from __future__ import annotations

import pytest

from pytest_attn_grader.sandbox.messages import RemoteParameter
from pytest_attn_grader.submission.projections.role_patterns import is_bias, packing_order, role_of_parameter


def parameter(name: str) -> RemoteParameter:
    return RemoteParameter(name, (8, 8), "float32", "Linear")


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("q_proj.weight", "q"), ("W_key.weight", "k"), ("to_v.weight", "v"), ("out_proj.weight", "o"),
        ("c_attn.weight", "qkv"), ("query_key_value.weight", "qkv"), ("kv_proj.weight", "kv"), ("wo.weight", "o"),
        ("heads.0.query.weight", "q"), ("query.linear.weight", "q"), ("layers.1.fc.weight", "o"), ("norm.weight", None),
        ("_query_layers.0.weight", "q"), ("_w_o.weight", "o"), ("conv_v.weight", "v"), ("key_conv.weight", "k"),
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
