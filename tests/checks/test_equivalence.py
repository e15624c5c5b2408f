from __future__ import annotations

import pytest

from pytest_attn_grader.checks import test_equivalence as equivalence

from .conftest import Ask

FREE_FORM = {"output": "output = torch.einsum('...qk,...kd->...qd', weights, value)"}
NO_OVERFLOW_GUARD = {"softmax": "weights = scores.exp() / scores.exp().sum(-1, keepdim=True)"}


@pytest.mark.parametrize("line", [{}, FREE_FORM], ids=["plain", "einsum"])
def test_a_right_attention_is_the_references(line: dict[str, str], ask: Ask) -> None:
    assert ask(equivalence.test_equivalence, **line) is None
    for probe in equivalence.OTHER_PROBES:
        assert ask(equivalence.test_other_probes, probe=probe, **line) is None
    assert ask(equivalence.test_float16, **line) is None


@pytest.mark.parametrize(
    "line",
    [
        {"scale": "scale = 1 / query.shape[-1]"},
        {"scale": "scale = 1"},
        {"scale": "scale = 1.001 / math.sqrt(query.shape[-1])"},
        {"softmax": "weights = torch.softmax(scores, dim=-2)"},
        {"output": "output = weights @ key"},
        {"output": "output = weights @ value * 1.0002"},
    ],
)
def test_another_formula(line: dict[str, str], ask: Ask) -> None:
    assert "off by" in (ask(equivalence.test_equivalence, **line) or "")


def test_the_scale_of_one_width_is_wrong_at_another(ask: Ask) -> None:
    line = {"scale": "scale = 0.125"}
    assert ask(equivalence.test_equivalence, **line) is None
    assert "head_dim 16" in (ask(equivalence.test_other_probes, probe="narrow", **line) or "")


def test_a_softmax_that_overflows(ask: Ask) -> None:
    assert ask(equivalence.test_equivalence, **NO_OVERFLOW_GUARD) is None
    assert "NaN or infinite" in (ask(equivalence.test_other_probes, probe="large-scores", **NO_OVERFLOW_GUARD) or "")


def test_a_fill_that_float16_does_not_hold_costs_nothing(ask: Ask) -> None:
    line = {"mask": "scores = scores if mask is None else scores.masked_fill(~mask, -1e9)"}
    assert ask(equivalence.test_float16, **line) is None
    assert ask(equivalence.test_other_probes, probe="bfloat16", **line) is None


@pytest.mark.parametrize("probe", equivalence.LENGTHS)
def test_a_right_attention_is_the_references_on_long_texts(probe: str, ask: Ask) -> None:
    assert ask(equivalence.test_lengths, probe=probe) is None


@pytest.mark.parametrize(
    ("output", "fails"),
    [
        (
            "output = weights @ value * (torch.arange(weights.shape[-2]) < 200)[:, None]",
            {"between-2", "limit", "blocks"},
        ),
        (
            "output = weights @ value / (1 if weights.shape[-1] < 150 else 0)",
            {"between-1", "between-2", "limit", "blocks"},
        ),
        ("output = weights[..., :512] @ value[..., :512, :]", {"blocks"}),
    ],
    ids=["zeros beyond 200", "not finite from 150 on", "two blocks of 256"],
)
def test_values_are_compared_at_every_length(output: str, fails: set[str], ask: Ask) -> None:
    assert ask(equivalence.test_equivalence, output=output) is None
    said = {probe for probe in equivalence.LENGTHS if ask(equivalence.test_lengths, probe=probe, output=output)}
    assert said == fails


def test_no_answer_beyond_the_models_longest_text_costs_nothing(ask: Ask) -> None:
    limit = "assert query.shape[-2] <= 256; scale = 1 / math.sqrt(query.shape[-1])"
    assert "longer than the model" in (ask(equivalence.test_lengths, probe="blocks", scale=limit) or "")
    assert ask(equivalence.test_lengths, probe="limit", scale=limit) is None


def test_float32_returned_for_bfloat16(ask: Ask) -> None:
    line = {"output": "output = weights.float() @ value.float()"}
    assert ask(equivalence.test_equivalence, **line) is None
    assert ask(equivalence.test_other_probes, probe="bfloat16", **line) == "attn_output in torch.float32"


LONG = """
import torch

class Attention(torch.nn.Module):
    def __init__(self, d_model, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.qkv, self.out = torch.nn.Linear(d_model, 3 * d_model), torch.nn.Linear(d_model, d_model)

    def forward(self, x, mask=None):
        batch, length, width = x.shape
        query, key, value = self.qkv(x).view(batch, length, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        LINE
        output = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.out(output.transpose(1, 2).reshape(batch, length, width))
"""


@pytest.mark.parametrize(
    ("line", "is_right"),
    [
        ("pass", True),
        ("mask = mask & torch.ones(length, length, dtype=torch.bool).triu(-127)", False),
        ("key = torch.cat([key[..., :128, :], 0 * key[..., 128:, :]], -2)", False),
    ],
)
def test_a_module_on_long_texts(line: str, is_right: bool, ask: Ask) -> None:
    source = LONG.replace("LINE", line)
    assert ask(equivalence.test_equivalence, source=source) is None
    for probe in ("between-1", "limit"):
        said = ask(equivalence.test_lengths, probe=probe, source=source)
        assert (said is None) if is_right else ("off by" in (said or "")), (probe, said)


def test_a_module_with_a_longest_text_is_not_asked_beyond_it(ask: Ask) -> None:
    source = LONG.replace("LINE", "assert length <= 200")
    assert ask(equivalence.test_lengths, probe="between-1", source=source) is None
    said = ask(equivalence.test_lengths, probe="limit", source=source) or ""
    assert said.startswith("not applicable: it takes no 256 tokens: AssertionError")


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        ("mask", None),
        ("(mask if length > 1 else torch.ones_like(mask))", "the output is off by"),
        ("(mask if layer_past is None or mask.all() else 1 / 0)", "not applicable: it takes no padding beside a cache"),
    ],
)
def test_padding_beside_a_cache(mask: str, said: str | None, ask: Ask) -> None:
    cached = "past = None if layer_past is None else layer_past\n        if past is not None:\n            "
    cached += "key, value = (torch.cat(pair, -2) for pair in zip(past, (key, value)))"
    source = LONG.replace("mask=None)", "mask=None, layer_past=None)").replace("LINE", cached)
    source = source.replace("attn_mask=mask)", f"attn_mask={mask})").replace("width))", "width)), (key, value)")
    actual = ask(equivalence.test_cache, probe="cache-padded", source=source)
    assert actual is None if said is None else said in (actual or ""), actual
