"""Arguments of a constructor, by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.submission.constructor import Sizes, arguments_for
from pytest_attn_grader.submission.constructor_roles import given_projections, other_ways_to_give
from pytest_attn_grader.submission.remote.arguments import ConfigObject
from pytest_attn_grader.submission.remote.messages import Given
from tests.submission.test_contract import module


@pytest.mark.parametrize(
    ("signature", "sizes", "filled"),
    [
        ("d_model, num_heads, norm_eps", {}, {"norm_eps": 1e-5}),
        ("d_model, num_heads, vocab_size", {}, {"vocab_size": 256}),
        ("d_model, num_heads, qk_norm=True", {}, {"qk_norm": False}),
        ("d_model, num_heads, qk_norm=False", {}, {}),
        ("d_model, num_heads, qk_norm=False", {"has_norms": True}, {"qk_norm": True}),
        ("d_model, num_heads, qk_norm", {}, {"qk_norm": False}),
        ("d_model, num_heads, use_rope=False", {}, {}),
        ("d_model, num_heads, use_rope=True", {}, {"use_rope": False}),
        ("d_model, num_heads, use_rope=False", {"rotary_base": 1e4}, {"use_rope": True}),
        ("d_model, num_heads, use_rope", {"rotary_base": 1e4}, {"use_rope": True}),
        (
            "d_model, num_heads, use_rope=False, rope_theta=None, rope_max_seq_len=None",
            {"rotary_base": 1e4},
            {"use_rope": True, "rope_theta": 1e4, "rope_max_seq_len": 1024},
        ),
        ("d_model, num_heads, n_kv_groups", {"num_key_value_heads": 2}, {"n_kv_groups": 2}),
        ("d_model, num_heads, kv_heads, n_kv_groups", {"num_key_value_heads": 1}, {"kv_heads": 1, "n_kv_groups": 4}),
        ("d_model, num_heads, value_second_dim", {}, {"value_second_dim": 64}),
        ("d_model, num_heads, w_q_k: int, w_v: int", {}, {"w_q_k": 64, "w_v": 64}),
        ("d_model, num_heads, causal=False", {}, {"causal": True}),
        ("d_model, num_heads, causal=True", {"is_causal": False}, {"causal": False}),
    ],
)
def test_what_is_filled_beside_the_sizes(signature: str, sizes: dict[str, Any], filled: dict[str, Any]) -> None:
    arguments = arguments_for(module("x", constructor=signature), Sizes(256, 4, 64, **sizes))
    assert arguments.shown == {"d_model": 256, "num_heads": 4, **filled}


@pytest.mark.parametrize(
    ("choices", "is_causal", "chosen"),
    [
        (("linear", "full"), True, "full"),
        (("none", "causal"), True, "causal"),
        (("causal", "none"), False, "none"),
        (("triton", "cuda"), True, "triton"),
    ],
)
def test_a_text_is_one_of_those_that_it_is_compared_with(
    choices: tuple[str, ...], is_causal: bool, chosen: str
) -> None:
    candidate = module("x", constructor="d_model, num_heads, kind")
    *sizes, kind = candidate.parameters
    candidate = replace(candidate, parameters=(*sizes, replace(kind, choices=choices)))
    assert arguments_for(candidate, Sizes(256, 4, 64, is_causal=is_causal)).shown["kind"] == chosen


@pytest.mark.parametrize(("is_input_size", "filled"), [(True, 256), (False, 64)])
def test_a_size_of_inputs_is_the_width(is_input_size: bool, filled: int) -> None:
    candidate = module("x", constructor="d_model, num_heads, key_dim")
    *sizes, key_dim = candidate.parameters
    candidate = replace(candidate, parameters=(*sizes, replace(key_dim, is_input_size=is_input_size)))
    assert arguments_for(candidate, Sizes(256, 4, 64)).shown["key_dim"] == filled


@pytest.mark.parametrize(
    ("signature", "is_input_size", "filled"),
    [
        ("count, size", False, {"count": 4, "size": 64}),
        ("dim, n_head", False, {"dim": 64, "n_head": 4}),
        ("size, heads", True, {"size": 256, "heads": 4}),
        ("emb, heads", False, {"emb": 256, "heads": 4}),
    ],
)
def test_what_is_multiplied_by_the_heads_is_their_size(
    signature: str, is_input_size: bool, filled: dict[str, int]
) -> None:
    candidate = module("x", constructor=signature)
    sizes = [
        replace(each, is_factor=True, is_input_size=is_input_size and each.name == "size")
        for each in candidate.parameters
    ]
    assert arguments_for(replace(candidate, parameters=tuple(sizes)), Sizes(256, 4, 64)).shown == filled


def test_a_text_is_one_of_its_annotation() -> None:
    candidate = module("x", constructor="d_model, num_heads, kind: Literal['fast', 'naive']")
    assert arguments_for(candidate, Sizes(256, 4, 64)).shown["kind"] == "naive"


def test_what_has_no_value_is_named() -> None:
    with pytest.raises(SubmissionError, match="the grader has no value for rotator") as caught:
        arguments_for(module("x", constructor="d_model, num_heads, rotator"), Sizes(256, 4, 64))
    assert caught.value.remedy == "Give rotator a default, or one of these names."


@pytest.mark.parametrize(
    ("signature", "filled"),
    [
        ("d, n", {"d": 256, "n": 4}),
        ("emb, k", {"emb": 256, "k": 4}),
        ("emb: int, k: int", {"emb": 256, "k": 4}),
        ("q_param, v_param", {"q_param": 256, "v_param": 256}),
        ("nhead, adimension", {"nhead": 4, "adimension": 256}),
        ("query_dim, heads, context_dim=None", {"query_dim": 256, "heads": 4}),
        ("query_dim, context_dim=None, heads=8, dim_head=64", {"query_dim": 256, "heads": 4, "dim_head": 64}),
        ("d_model, query_dim, heads", {"d_model": 256, "query_dim": 64, "heads": 4}),
        ("E_q, E_k, E_v, E_total, nheads", {"E_q": 256, "E_k": 256, "E_v": 256, "E_total": 256, "nheads": 4}),
    ],
)
def test_one_unknown_name_is_the_size_that_is_missing(signature: str, filled: dict[str, int]) -> None:
    assert arguments_for(module("x", constructor=signature), Sizes(256, 4, 64)).shown == filled


@pytest.mark.parametrize("signature", ["d_model, alpha, beta", "alpha, beta", "num_heads, alpha, beta"])
def test_two_unknown_names_are_not_guessed(signature: str) -> None:
    with pytest.raises(SubmissionError, match="alpha and beta"):
        arguments_for(module("x", constructor=signature), Sizes(256, 4, 64))


@pytest.mark.parametrize(
    ("signature", "given", "first", "last"),
    [
        ("w_q, w_k, w_v, w_o, dim, heads", "", "parameter of 256 x 256", "parameter of 256 x 256"),
        ("w_q, w_k, w_v, w_o, dim, heads", "layers", "linear of 256 x 256", "linear of 256 x 256"),
        ("Wq: nn.Linear, Wk: nn.Linear, Wv: nn.Linear, heads", "", "linear of 256 x 256", "linear of 256 x 256"),
        ("query: nn.Linear, key: nn.Linear, value: nn.Linear", "matrices", *["parameter of 256 x 256"] * 2),
        ("q_linear, k_linear, v_linear, heads", "", "linear of 256 x 256", "linear of 256 x 256"),
        ("w_qkv, b_qkv, dim, heads", "", "parameter of 256 x 768", "parameter of 768"),
    ],
)
def test_projections_are_given_as_layers_or_matrices(signature: str, given: Given, first: str, last: str) -> None:
    candidate = replace(module("x", constructor=signature), given=given)
    shown = arguments_for(candidate, Sizes(256, 4, 64)).shown
    projections = [text for text in shown.values() if isinstance(text, str)]
    assert (projections[0], projections[-1]) == (f"(a {first})", f"(a {last})")


@pytest.mark.parametrize("signature", ["q: int, k: int, v: int", "dim, heads, w_q, w_k", "query, key, value, heads"])
def test_sizes_and_some_of_the_projections_are_not_given_as_such(signature: str) -> None:
    assert not given_projections(module("x", constructor=signature))


def test_a_mask_that_is_no_switch_is_given_as_a_triangle() -> None:
    candidate = module("x", constructor="dim, heads, mask")
    assert other_ways_to_give(candidate) == ("triangle", "triangle of four axes")
    assert other_ways_to_give(module("x", constructor="dim, heads, mask: bool")) == ()
    shown = arguments_for(replace(candidate, given="triangle of four axes"), Sizes(256, 4, 64)).shown
    assert shown["mask"] == "(a triangle of 1 x 1 x 1024 x 1024)"


def test_a_configuration_that_may_be_left_out_is_given_where_it_is_needed() -> None:
    candidate = module("x", constructor="embed_dim, num_heads, config: Settings | None = None")
    assert "config" not in arguments_for(candidate, Sizes(256, 4, 64)).by_name
    assert other_ways_to_give(candidate) == ("config",)
    given = arguments_for(replace(candidate, given="config"), Sizes(256, 4, 64)).by_name["config"]
    assert isinstance(given, ConfigObject)
    assert given.class_name == "Settings"
