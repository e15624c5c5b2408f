from __future__ import annotations

import pytest

from pytest_attn_grader.checks import test_equivalence as equivalence
from pytest_attn_grader.checks import test_gradients as gradients

from .conftest import Ask

TENSORS = ("query", "key", "value")


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


@pytest.mark.parametrize(
    ("output", "where"),
    [
        ("output = torch.cat([(weights @ value)[:1], (weights @ value)[1:].detach()])", "in example"),
        (
            "output = weights @ value if mask is None or mask.all(-1)[..., -1].all() else "
            "(weights @ value + (weights @ value).detach()) / 2",
            "it differs by up to",
        ),
        ("keep = weights @ value; output = keep if len(query) == 1 else (keep + keep.detach()) / 2", "it differs by"),
    ],
    ids=["detached after the first example", "halved under padding", "halved in batches"],
)
def test_a_gradient_that_is_wrong_in_a_part_of_a_batch(output: str, where: str, ask: Ask) -> None:
    assert ask(equivalence.test_equivalence, output=output) is None
    assert where in (ask(gradients.test_equal, tensor="value", output=output) or "")
