from __future__ import annotations

import pytest

from pytest_attn_grader.checks import test_equivalence as equivalence
from pytest_attn_grader.checks import test_gradients as gradients

from .conftest import Ask

TENSORS = ("query", "key", "value")
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
    assert "off by inf" in (ask(equivalence.test_other_probes, probe="large-scores", **NO_OVERFLOW_GUARD) or "")


def test_a_fill_that_float16_does_not_hold_costs_nothing(ask: Ask) -> None:
    line = {"mask": "scores = scores if mask is None else scores.masked_fill(~mask, -1e9)"}
    assert ask(equivalence.test_float16, **line) is None
    assert ask(equivalence.test_other_probes, probe="bfloat16", **line) is None


def test_right_gradients(ask: Ask) -> None:
    for tensor in TENSORS:
        assert ask(gradients.test_flow, tensor=tensor) is None
        assert ask(gradients.test_equal, tensor=tensor) is None
    assert ask(gradients.test_gradcheck) is None
    assert ask(gradients.test_model_gradients) is None


@pytest.mark.parametrize(
    ("line", "cut"),
    [
        ({"scores": "scores = query.detach() @ key.transpose(-2, -1) * scale"}, "query"),
        ({"scores": "scores = query @ key.data.transpose(-2, -1) * scale"}, "key"),
        ({"output": "output = weights @ value.detach()"}, "value"),
    ],
)
def test_a_gradient_that_is_cut_off(line: dict[str, str], cut: str, ask: Ask) -> None:
    for tensor in TENSORS:
        expected = f"no gradient reaches {tensor}" if tensor == cut else None
        assert ask(gradients.test_flow, tensor=tensor, **line) == expected


def test_gradients_that_are_zero_or_not_finite(ask: Ask) -> None:
    zero = {"output": "output = weights.detach() @ value + 0 * query"}
    assert ask(gradients.test_flow, tensor="query", **zero) == "every number of the gradient of query is 0"
    endless = {"output": "output = weights @ value + torch.sqrt((query - query).abs().sum())"}
    assert "NaN or infinite" in (ask(gradients.test_flow, tensor="query", **endless) or "")


def test_a_gradient_that_flows_and_is_wrong(ask: Ask) -> None:
    """Detached weights in one of two equal halves: the output is right, its derivative is not."""
    half = {"output": "output = (weights + weights.detach()) @ value / 2"}
    assert ask(equivalence.test_equivalence, **half) is None
    assert ask(gradients.test_flow, tensor="query", **half) is None
    assert "it differs by up to" in (ask(gradients.test_equal, tensor="query", **half) or "")
    assert ask(gradients.test_gradcheck, **half) is not None
    assert "it differs by" in (ask(gradients.test_model_gradients, **half) or "")


def test_a_lower_precision_inside_is_no_fault_of_the_gradient(ask: Ask) -> None:
    line = {"output": "output = (weights.float() @ value.float()).to(value.dtype)"}
    assert (ask(gradients.test_gradcheck, **line) or "").startswith("not applicable: it computes in a lower precision")
