"""The sizes that names of constructor arguments stand for."""

from __future__ import annotations

from collections import Counter

import pytest

from pytest_attn_grader.submission.size_names import (
    DROPOUT_NAMES,
    SIZE_NAMES,
    guess_role_of_size,
    is_dropout,
    is_flag,
    other_value,
    role_of_size,
)


def test_no_name_has_two_meanings() -> None:
    counts = Counter([name for names in SIZE_NAMES.values() for name in names])
    assert [name for name, times in counts.items() if times > 1] == []
    assert all(name == name.lower().strip("_") for name in counts), "names are looked up in this form"
    assert sum(map(len, SIZE_NAMES.values())) >= 150


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("d_model", "width"), ("embdDim", "width"), ("n_embd", "width"), ("nHead", "heads"), ("_num_heads", "heads"),
        ("head_size", "head_dim"), ("n_kv_heads", "key_value_heads"), ("block_size", "context"), ("qkv_bias", "bias"),
        ("is_causal", "causal"), ("attn_pdrop", "dropout"), ("layer_idx", "layer"), ("nonsense", None),
    ],
)  # fmt: skip
def test_names_of_the_table(name: str, role: str | None) -> None:
    assert role_of_size(name) == role


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("number_of_attention_heads", "heads"), ("size_of_head", "head_dim"), ("encoder_width", "width"),
        ("head_sz", "head_dim"), ("embed_sz", "width"), ("context_sz", "context"),
        ("largest_seq", "context"), ("kv_group_number", "key_value_heads"), ("temperature_of_water", None),
    ],
)  # fmt: skip
def test_names_outside_the_table_are_guessed_from_their_words(name: str, role: str | None) -> None:
    assert guess_role_of_size(name) == role


@pytest.mark.parametrize(
    ("name", "value"),
    [("norm_eps", 1e-5), ("rms_norm_eps", 1e-6), ("eps", 1e-5), ("layer_norm_epsilon", 1e-5), ("vocab_size", 256),
     ("rotary_pct", 1.0), ("steps", None), ("epsilon_greedy", None)],
)  # fmt: skip
def test_values_that_no_attention_needs(name: str, value: float | None) -> None:
    assert other_value(name) == value


def test_every_name_of_dropout_is_one() -> None:
    assert all(is_dropout(name) for name in DROPOUT_NAMES)
    assert is_dropout("attn_p")
    assert is_dropout("resid_prob")
    assert not is_dropout("top_p")
    assert not is_dropout("d_prop")


@pytest.mark.parametrize("name", ["use_cache", "flash", "enable_lora", "log_attention", "verbose", "is_training"])
def test_switches(name: str) -> None:
    assert is_flag(name)


@pytest.mark.parametrize("name", ["d_model", "heads", "causal", "user_id"])
def test_what_is_no_switch(name: str) -> None:
    assert not is_flag(name)
