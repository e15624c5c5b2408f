"""One layer or one head in several places has no place in a model, and the message says so."""

from __future__ import annotations

import pytest

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.submission.projections.find import require_separate_weights
from pytest_attn_grader.submission.remote.messages import RemoteModule, RemoteParameter


def module(*groups: tuple[str, ...], shape: tuple[int, ...] = (64, 64)) -> RemoteModule:
    parameters = tuple(RemoteParameter(names[0], shape, "float32", "Linear") for names in groups)
    shared = tuple(names for names in groups if len(names) > 1)
    return RemoteModule(parameters, {}, (), has_loader=False, shared=shared)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            ("heads.0.q.weight", "heads.1.q.weight"),
            "one head in several places: heads.0 and heads.1 are the same",
        ),
        (("linears.0.weight", "linears.3.weight"), "one layer in several places: linears.0 and linears.3 are"),
        (("mha.0.heads.0.key.weight", "mha.0.heads.1.key.weight"), "mha.0.heads.0 and mha.0.heads.1 are the same"),
        (("q_proj.weight", "k_proj.weight", "v_proj.weight"), "several names: q_proj, k_proj and v_proj are the same"),
        (("W_key", "W_value"), "one layer under several names: W_key and W_value"),
        (("to_v.weight", "to_out.weight"), "to_v and to_out are the same object"),
    ],
)
def test_it_is_said(names: tuple[str, ...], said: str) -> None:
    with pytest.raises(SubmissionError, match=said) as caught:
        require_separate_weights(module(names), "Attention")
    assert caught.value.name == "no-target"
    assert caught.value.remedy.startswith("Make a ")


@pytest.mark.parametrize(
    "names",
    [
        ("q_proj.weight",),
        ("q_proj.weight", "layers.0.weight"),  # a list of what has names as well
        ("attention.to_q.weight", "to_q.weight"),
        ("q_proj.weight", "query_proj.weight"),
    ],
)
def test_other_names_for_the_same_place_are_fine(names: tuple[str, ...]) -> None:
    require_separate_weights(module(names), "Attention")


def test_a_scale_may_be_shared() -> None:
    require_separate_weights(module(("q_norm.weight", "k_norm.weight"), shape=(64,)), "Attention")
