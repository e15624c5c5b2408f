"""The roles that names of arguments stand for."""

from __future__ import annotations

import itertools

import pytest

from pytest_attn_grader.submission.parameter_names import (
    KEY_PADDING_MASKS,
    ROLE_NAMES,
    ROTARY_OBJECTS,
    ROTARY_ROLES,
    hidden_states_role,
    is_projected,
    longer_projection_role,
    projection_role,
    role_of,
)


def test_no_name_has_two_roles() -> None:
    groups = [*ROLE_NAMES.values(), KEY_PADDING_MASKS, ROTARY_OBJECTS, *ROTARY_ROLES.values()]
    assert [first & second for first, second in itertools.combinations(groups, 2) if first & second] == []


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("Q", "query"), ("key_states", "key"), ("_v", "value"), ("tgt_mask", "mask"), ("p", "dropout_p"),
        ("training", "training"), ("x", None),
    ],
)  # fmt: skip
def test_of_a_function(name: str, role: str | None) -> None:
    assert role_of(name) == role


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("hidden_states", "hidden_states"), ("X", "hidden_states"), ("key_padding_mask", "key_padding_mask"),
        ("valid_lens", "valid_lens"), ("need_weights", "return_weights"), ("my_special_mask", "mask"), ("foo", None),
    ],
)  # fmt: skip
def test_of_a_module(name: str, role: str | None) -> None:
    assert hidden_states_role(name) == role


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("W_q", "w_q"), ("key_proj", "w_k"), ("value_weight", "w_v"), ("in_proj_weight", "w_qkv"), ("b_o", "b_o"),
        ("n_head", "num_heads"), ("d_k", "head_dim"), ("mask", None),
    ],
)  # fmt: skip
def test_of_a_projected_function(name: str, role: str | None) -> None:
    assert projection_role(name) == role


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("multi_head_w_q", "w_q"),
        ("attn_wk", "w_k"),
        ("Wv_self", "w_v"),
        ("decoder_self_out_proj", "w_o"),
        ("layer_w_qkv", "w_qkv"),
        ("layer_b_o", "b_o"),
        ("Wquery_dec", "w_q"),
        ("return_weights", None),
        ("attention_scale", None),
        ("max_seq_len", None),
    ],
)
def test_a_weight_with_more_in_its_name(name: str, role: str | None) -> None:
    assert longer_projection_role(name) == role


def test_a_projected_function_takes_text_and_weights() -> None:
    assert is_projected(["tokens", "first_w_q", "first_w_k", "first_w_v", "first_w_o"])
    assert is_projected(["x", "W_q", "W_k", "W_v", "W_o", "num_heads"])
    assert is_projected(["x", "w_qkv"])
    assert is_projected(["x", "W_q", "W_k"]), "then a message can name the weight that is missing"
    assert not is_projected(["query", "key", "value", "mask"])
    assert not is_projected(["x", "mask"])
