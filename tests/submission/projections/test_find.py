"""Projections of a module found by the names, numbers and shapes of its parameters."""

from __future__ import annotations

import pytest

from pytest_attn_grader.submission.projections.find import find_projections
from pytest_attn_grader.submission.remote.messages import RemoteModule, RemoteParameter


def module(*names: str) -> RemoteModule:
    parameters = tuple(RemoteParameter(f"{name}.weight", (8, 8), "float32", "Linear") for name in names)
    return RemoteModule(parameters, {"num_heads": 2}, (), has_loader=False)


@pytest.mark.parametrize("name", ["linears", "layers", "projections", "qkv", "qkv_nets", "attn_qkv_layers"])
@pytest.mark.parametrize("output", ["fc_out", "out_projection_net", "whatever"])
def test_a_list_of_three_and_an_output(name: str, output: str) -> None:
    found = find_projections(module(*(f"{name}.{number}" for number in range(3)), output), "M")
    places = {role: [place.weight for place in each] for role, each in found.inputs.items()}
    assert places == {role: [f"{name}.{number}.weight"] for number, role in enumerate("qkv")}
    assert found.output is not None
    assert found.output.weight == f"{output}.weight"


def test_beside_all_three_an_attention_projection_is_the_output() -> None:
    found = find_projections(module("q", "k", "v", "attn_proj"), "M")
    assert found.output is not None
    assert found.output.weight == "attn_proj.weight"


def test_a_second_output_projection_becomes_the_identity() -> None:
    found = find_projections(module("q", "k", "v", "out_proj", "proj"), "M")
    assert found.output is not None
    assert [found.output.weight, *(each.weight for each in found.after_output)] == ["out_proj.weight", "proj.weight"]


@pytest.mark.parametrize(("key_value_heads", "rows"), [(None, 24), (2, 24), (1, 16)])
def test_all_in_one_under_a_name_that_says_nothing(key_value_heads: int | None, rows: int) -> None:
    fused, output = RemoteParameter("x.weight", (rows, 8), "float32", "Linear"), module("y").parameters[0]
    found = find_projections(
        RemoteModule((fused, output), {}, (), has_loader=False), "M", num_heads=2, num_key_value_heads=key_value_heads
    )
    assert [place.weight for place in found.inputs["qkv"]] == ["x.weight"]
    assert found.output is not None
