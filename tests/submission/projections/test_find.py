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
