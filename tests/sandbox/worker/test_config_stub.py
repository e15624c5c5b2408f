"""The stand-in for a configuration object, on an instance of the submission's own class."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from pytest_attn_grader.sandbox.worker.config_stub import make_config

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
