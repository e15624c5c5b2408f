from __future__ import annotations

import pytest

from pytest_attn_grader.checks import test_purity as purity

from .conftest import Ask, attention_with

DROPOUT = {"signature": "def attention(query, key, value, mask=None, dropout_p=0.0, training=False):"}
MODULE = """
import math
import torch
from torch.nn import functional as F


class Attention(torch.nn.Module):
    def __init__(self, embed_dim=256, num_heads=4, dropout=0.0):
        super().__init__()
        self.num_heads = num_heads
        self.drop = torch.nn.Dropout(dropout)
        self.query = torch.nn.Linear(embed_dim, embed_dim)
        self.key = torch.nn.Linear(embed_dim, embed_dim)
        self.value = torch.nn.Linear(embed_dim, embed_dim)
        self.proj = torch.nn.Linear(embed_dim, embed_dim)

    def forward(self, x, mask=None):
        batch, length, width = x.shape
        split = lambda each: each.view(batch, length, self.num_heads, -1).transpose(1, 2)
        query, key, value = split(self.query(x)), split(self.key(x)), split(self.value(x))
        scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
        weights = scores.masked_fill(~mask, float("-inf")).softmax(-1)
        merged = (DROP @ value).transpose(1, 2).reshape(batch, length, width)
        return OUTPUT(self.proj(merged))
"""


def by_hand(keep: str, divisor: str) -> dict[str, str]:
    """Dropout written out: what is kept, and what the kept weights are divided by."""
    return {"output": f"dropped = weights * ({keep}) / {divisor}; output = (dropped if training else weights) @ value"}


def dropped(line: str) -> dict[str, str]:
    return {**DROPOUT, "output": f"{line}\n    output = weights @ value"}


def test_a_right_attention_is_pure(ask: Ask) -> None:
    assert ask(purity.test_inputs_unchanged) is None
    assert ask(purity.test_repeatable) is None
    assert ask(purity.test_dropout) == "not applicable: it has no dropout parameter"
    line = "weights = torch.nn.functional.dropout(weights, p=dropout_p, training=training)"
    assert ask(purity.test_dropout, **dropped(line)) is None
    assert ask(purity.test_dropout_off, **dropped(line)) is None


def test_inputs_that_are_changed(ask: Ask) -> None:
    one = "query.data.mul_(2); scale = 0.0625"
    assert ask(purity.test_inputs_unchanged, scale=one) == "query changed during the call"
    both = "key.data += 1; value.data[..., 0] = 0; scale = 1"
    assert ask(purity.test_inputs_unchanged, scale=both) == "key and value changed during the call"


@pytest.mark.parametrize(
    "line",
    ["output = torch.nn.functional.dropout(weights, 0.1) @ value", "output = weights @ value + torch.rand(1) / 100"],
)
def test_an_answer_that_is_another_each_time(line: str, ask: Ask) -> None:
    assert "the output moved by" in (ask(purity.test_repeatable, output=line) or "")


def test_dropout_that_drops_nothing_or_the_mask(ask: Ask) -> None:
    assert "nothing was dropped" in (ask(purity.test_dropout, **DROPOUT) or "")
    on_scores = "weights = torch.dropout(scores, dropout_p, training).nan_to_num(0).softmax(-1)"
    assert "earlier outputs moved by" in (ask(purity.test_dropout, **{**DROPOUT, "softmax": on_scores}) or "")


@pytest.mark.parametrize(
    ("lines", "actual"),
    [
        ({"output": "output = torch.dropout(weights @ value, dropout_p, training)"}, "no sum of such weights"),
        (
            {
                "softmax": "lost = torch.rand_like(scores) < dropout_p * training; lost.diagonal(0, -2, -1).zero_()\n"
                "    weights = scores.masked_fill(lost, float('-inf')).softmax(-1)"
            },
            "in every row they still sum to 1",
        ),
        (by_hand("torch.rand_like(weights) >= dropout_p", "1"), "the others multiplied by 1"),
        (by_hand("torch.rand_like(weights) >= dropout_p", "dropout_p"), "the others multiplied by 10"),
        (by_hand("torch.rand_like(weights) < dropout_p", "dropout_p"), "% of the weights were set to 0"),
        (by_hand("torch.rand_like(weights) >= 0.1", "0.9"), "the others multiplied by 1.111"),
        (by_hand("torch.rand(weights.shape[-2:]) >= dropout_p", "(1 - dropout_p)"), "all heads and all examples drop"),
        (by_hand("torch.rand_like(weights[:, :, :1]) >= dropout_p", "(1 - dropout_p)"), "all queries drop"),
        (
            {"softmax": "torch.manual_seed(3); weights = torch.dropout(scores.softmax(-1), dropout_p, training)"},
            "two calls dropped the same weights",
        ),
    ],
    ids=["the output", "keys", "no factor", "1/p", "keeps p", "fixed", "heads", "queries", "seeded"],
)
def test_dropout_of_something_else(lines: dict[str, str], actual: str, ask: Ask) -> None:
    assert actual in (ask(purity.test_dropout, **{**DROPOUT, **lines}) or "")


def test_dropout_by_hand(ask: Ask) -> None:
    right = by_hand("torch.rand_like(weights) >= dropout_p", "(1 - dropout_p)")
    assert ask(purity.test_dropout, **{**DROPOUT, **right}) is None


def test_dropout_that_ignores_the_switch(ask: Ask) -> None:
    always = {**DROPOUT, "output": "output = torch.dropout(weights, dropout_p, True) @ value"}
    assert ask(purity.test_repeatable, **always) is None
    assert "the output moved by" in (ask(purity.test_dropout_off, **always) or "")
    no_switch = {**always, "signature": "def attention(query, key, value, mask=None, dropout_p=0.0):"}
    assert "no parameter that switches" in (ask(purity.test_dropout_off, **no_switch) or "")


def test_dropout_that_is_on_by_default(ask: Ask) -> None:
    lines = {
        "signature": "def attention(query, key, value, mask=None, dropout_p=0.1):",
        "output": "output = torch.dropout(weights, dropout_p, True) @ value",
    }
    assert "the output moved by" in (ask(purity.test_dropout_off, **lines) or "")


def test_dropout_of_a_module(ask: Ask) -> None:
    module = MODULE.replace("DROP", "self.drop(weights)").replace("OUTPUT", "self.drop")
    assert ask(purity.test_dropout, source=module) is None
    assert ask(purity.test_dropout_off, source=module) is None
    ignored = MODULE.replace("DROP", "F.dropout(weights, self.drop.p)").replace("OUTPUT", "")
    assert "the output moved by" in (ask(purity.test_dropout_off, source=ignored) or "")
    of_value = MODULE.replace("DROP", "weights").replace("OUTPUT", "").replace("@ value", "@ self.drop(value)")
    assert "no sum of such weights" in (ask(purity.test_dropout, source=of_value) or "")
    fixed = MODULE.replace("DROP", "F.dropout(weights, 0.2, self.training)").replace("OUTPUT", "")
    assert "multiplied by 1.25" in (ask(purity.test_dropout, source=fixed) or "")


@pytest.mark.parametrize(
    "weights",
    [
        'self.drop(scores).masked_fill(~mask, float("-inf")).softmax(-1)',
        "F.normalize(self.drop(weights), p=1, dim=-1)",
    ],
)
def test_dropout_of_a_module_whose_rows_still_sum_to_one(weights: str, ask: Ask) -> None:
    module = MODULE.replace("DROP", weights).replace("OUTPUT", "")
    assert "in every row they still sum to 1" in (ask(purity.test_dropout, source=module) or "")
    only_the_output = MODULE.replace("DROP", "weights").replace("OUTPUT", "self.drop")
    assert ask(purity.test_dropout, source=only_the_output) is None


@pytest.mark.parametrize(
    ("line", "actual"),
    [
        ("torch.set_grad_enabled(False)", "set_grad_enabled"),
        ("torch.set_default_dtype(torch.float64)", "set_default_dtype"),
        ("torch.manual_seed(0)", None),
        ("torch.set_num_threads(1)", None),
    ],
)
def test_an_import_that_changes_the_process(line: str, actual: str | None, ask: Ask) -> None:
    source = f"{line}\n".join(["import torch\n", attention_with()])
    said = ask(purity.test_import_changes_nothing, source=source)
    assert said is None if actual is None else actual in (said or "")
