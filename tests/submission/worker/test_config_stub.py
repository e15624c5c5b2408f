"""The stand-in for a configuration object, on an instance of the submission's own class."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import pytest

from pytest_attn_grader.submission.worker.config_stub import make_config, read_keys

VALUES = {"n_embd": 256, "n_head": 4, "n_kv_heads": 2, "n_kv_groups": 2, "head_dim": 64, "block_size": 1024}


@dataclass
class WorkedOut:
    n_embd: int = 768
    n_head: int = 12
    n_kv_heads: int = 12
    n_kv_groups: int = field(init=False)

    def __post_init__(self) -> None:
        if self.n_embd % self.n_head:
            raise ValueError("n_embd is no multiple of n_head")
        self.n_kv_groups = self.n_head // self.n_kv_heads
        self.block_size = 77  # no matter what is passed


class OfTheClass:
    n_embd = 768
    n_kv_groups = 12


class Constant:
    def __init__(self, vocab_size: int = 50257) -> None:
        self.n_embd = 768


def test_what_is_worked_out_of_the_sizes_is_kept() -> None:
    values = VALUES | {"n_kv_heads": 1}
    config = make_config(values, WorkedOut)
    assert (config.n_head, config.n_kv_heads, config.n_kv_groups) == (4, 1, 4)
    assert config.block_size == 1024, "a constant is replaced"


@pytest.mark.parametrize("own_class", [OfTheClass, Constant, None])
def test_constants_are_replaced(own_class: type | None) -> None:
    config = make_config(VALUES, own_class)
    assert (config.n_embd, config["n_kv_groups"]) == (256, 2)


class Activation(enum.Enum):
    GELU = "gelu"


@dataclass
class Block:
    n_head: int
    experts: int


@dataclass(frozen=True)
class Whole:
    n_embd: int
    n_head: int
    ffn_dim: int
    mlp_ratio: float
    tokenizer: str
    tie_weights: bool
    stop_words: list[str]
    seed: int | None
    activation: Activation
    norm: Literal["pre", "post"]


class Pair(NamedTuple):
    n_embd: int
    rates: tuple[float, float]


class WithoutAnnotations:
    def __init__(self, n_embd, *, num_experts, expert_dim):
        self.n_embd = n_embd
        self.experts = [expert_dim] * num_experts


@dataclass
class Nested:
    block: Block
    epochs: "Missing"  # type: ignore[name-defined]  # noqa: F821, UP037 - a name that is imported for type checkers


@pytest.mark.parametrize("own_class", [Whole, Pair, WithoutAnnotations])
def test_required_fields_of_other_parts_are_filled(own_class: type) -> None:
    assert make_config(VALUES, own_class).n_embd == 256


def test_a_filled_field_that_is_read_is_missing() -> None:
    config = make_config(VALUES, Whole)
    for name in ("ffn_dim", "mlp_ratio", "tokenizer", "seed"):
        with pytest.raises(AttributeError, match=f"the grader's config has no '{name}'"):
            getattr(config, name)
        assert name not in config
        assert config.get(name, 7) == 7
    assert config.tie_weights is False, "a switch that is not known is off"


def test_a_part_of_a_config_is_one_too() -> None:
    config: Any = make_config(VALUES, Nested)
    assert (config.n_embd, config.block.n_head, config["block"]["head_dim"]) == (256, 4, 64)
    assert read_keys(config, object())["n_head"] == 4
    with pytest.raises(AttributeError, match="no 'experts'"):
        _ = config.block.experts


def test_a_part_that_no_class_defines_answers_to_the_same_names() -> None:
    config: Any = make_config(VALUES, None)
    assert config.model.attention.n_head == config["self_attn"]["n_head"] == config.attn_config.n_head == 4
    assert read_keys(config, object()) == {"n_head": 4}
    with pytest.raises(AttributeError, match="no 'tokenizer'"):
        _ = config.tokenizer


@dataclass
class TwoParts:
    text_n_embd: int = 768
    text_n_head: int = 12
    text_n_layer: int = 24
    audio_head_dim: int = 80  # of a part without a number of heads


@pytest.mark.parametrize("own_class", [TwoParts, None])
def test_a_name_without_the_part_of_the_model_is_known(own_class: type | None) -> None:
    config = make_config({**VALUES, "n_heads": 4, "n_layer": 1}, own_class)
    assert config.text_n_embd == 256
    assert config.audio_head_dim == (64 if own_class is None else 80)
    assert {"text_n_embd", "n_embd"} <= read_keys(config, None).keys()
    with pytest.raises(AttributeError, match="no 'text_wings'"):
        _ = config.text_wings


@dataclass
class WithDropouts:
    attn_pdrop: float = 0.1
    resd_pdrop: float = 0.1
    drop_bias: bool = True


@pytest.mark.parametrize("own_class", [WithDropouts, None])
def test_a_dropout_of_any_name_has_the_graders_probability(own_class: type | None) -> None:
    config = make_config({"dropout": 0.3, "attn_pdrop": 0.3}, own_class)
    assert (config.attn_pdrop, config.resd_pdrop) == (0.3, 0.3)
    assert own_class is None or config.drop_bias is True


class Capitals:
    N_HEAD = 12
    T = 0.7

    def __init__(self, nEmbd: int = 768, BLOCK_SIZE: int = 77) -> None:  # noqa: N803
        self.nEmbd, self.BLOCK_SIZE = nEmbd, BLOCK_SIZE
        self.headDim = nEmbd // 12


def test_names_in_capitals_have_the_same_values() -> None:
    config = make_config(VALUES | {"t": 1024}, Capitals)
    assert (config.nEmbd, config.BLOCK_SIZE, config.N_HEAD) == (256, 1024, 4)
    assert (config.T, config.headDim) == (0.7, 256 // 12), "no whole number, and worked out"
    assert (make_config(VALUES, None).N_EMBD, make_config(VALUES, None)["nHead"]) == (256, 4)
