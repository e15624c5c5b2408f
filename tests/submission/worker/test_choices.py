"""The texts among which code chooses."""

from __future__ import annotations

import ast
import textwrap

import pytest
import torch

from pytest_attn_grader.submission.worker.choices import choices_in, input_sizes_in, options_in, switches_in, tree_of
from pytest_attn_grader.submission.worker.config_stub import make_config


class ByComparison:
    def __init__(self, kind: str, order: str) -> None:
        if kind.lower() == "linear" or kind == "full":
            self.order = order

    def forward(self, x: int) -> bool:
        return self.order in ("first", "last") and x == 3


class Projects(torch.nn.Module):
    def __init__(self, width: int, kv_dim: int, d_v: int) -> None:
        super().__init__()
        self.q_proj = torch.nn.Linear(width, width)
        self.to_k, self.W_v = torch.nn.Linear(kv_dim, width), torch.nn.Linear(kv_dim, d_v)
        self.value = torch.nn.Linear(kv_dim, d_v)
        self.out_proj = torch.nn.Linear(d_v, width)


def test_sizes_of_what_is_projected() -> None:
    assert input_sizes_in(tree_of(Projects)) == {"width", "kv_dim"}
    assert input_sizes_in(tree_of(int)) == set()


class ByMatch:
    def __init__(self, kind: str) -> None:
        match kind:
            case "a" | "b":
                self.kind = {"x": 1, "y": 2}[kind]
            case _:
                raise ValueError(kind)


@pytest.mark.parametrize(
    ("value", "choices"),
    [
        (ByComparison, {"kind": ["linear", "full"], "order": ["first", "last"]}),
        (ByMatch, {"kind": ["a", "b", "x", "y"]}),
        (int, {}),
        (type("NoSource", (), {}), {}),
    ],
)
def test_texts_by_the_name_that_they_are_compared_with(value: type, choices: dict[str, list[str]]) -> None:
    assert choices_in(tree_of(value)) == choices


SWITCHES = """
def make(config, cfg, other):
    self.fast = config.fast
    self.plain = not cfg["plain"] and config.quick
    flag = config.by_another_name
    if flag or self.fast:
        y = 1 if self.config.inside else 2
    while not config.stop: pass
    fast = 3
    return fast if self.plain else 0
"""
NO_SWITCHES = """
def make(config):
    self.never = config.never
    self.kept = config.kept
    if config.kind == "a" or config.size > 2 or self.seen is None: pass
    if config.both: print(config.both)
    if self.kept: print(self.kept)
    if f(config.passed): pass
"""


def test_options_are_read_without_a_default() -> None:
    source = """
        self.way, self.by = cfg.way, getattr(cfg, "by", "hand")
        self.kind = cfg["kind"]
        if self.kind == "linear" or cfg.impl in ("manual", "fused") or self.by == "machine":
            pass
    """
    assert options_in(ast.parse(textwrap.dedent(source))) == {"kind": ["linear"], "impl": ["manual", "fused"]}


def test_switches_are_only_tested() -> None:
    found = switches_in(ast.parse(SWITCHES))
    assert found >= {"fast", "plain", "quick", "by_another_name", "inside", "stop"}
    names = {"never", "kept", "kind", "size", "seen", "both", "passed", "config"}
    assert not names & switches_in(ast.parse(NO_SWITCHES))


def test_the_mask_and_the_scaling_are_on() -> None:
    config = make_config({"causal": True, "n_head": 4}, None)
    config.__dict__["_switches"] = {"fast", "masked_future", "scaled", "n_head"}
    assert (config.fast, config["masked_future"], config.scaled, config.n_head) == (False, True, True, 4)
    with pytest.raises(AttributeError, match="config has no 'others'"):
        _ = config.others
