from __future__ import annotations

import pytest

from pytest_attn_grader.checks import test_shape as shape

from .conftest import Ask

PROBES = ["basic", "single", "one-token", "square", "long", "narrow", "limit"]


@pytest.mark.parametrize("probe", PROBES)
def test_a_right_attention_has_the_right_shapes(probe: str, ask: Ask) -> None:
    assert ask(shape.test_shape, probe=probe) is None


@pytest.mark.parametrize(
    ("line", "probe", "actual"),
    [
        ({"output": "output = (weights @ value).transpose(1, 2)"}, "basic", "attn_output of shape (3, 10, 5, 64)"),
        ({"output": "output = (weights @ value).sum(0, keepdim=True)"}, "basic", "attn_output of shape (1, 5, 10, 64)"),
        ({"output": "output = (weights @ value).double()"}, "basic", "attn_output in torch.float64"),
        ({"answer": "return output, weights.mean(dim=1)"}, "basic", "attn_weights of shape (3, 10, 10)"),
        ({"output": "output = (weights @ value)[..., :64, :]"}, "long", "attn_output of shape (1, 3, 64, 64)"),
    ],
)
def test_a_wrong_shape(line: dict[str, str], probe: str, actual: str, ask: Ask) -> None:
    assert ask(shape.test_shape, probe=probe, **line) == actual


def test_a_shape_that_is_wrong_at_one_length_only(ask: Ask) -> None:
    line = {"output": "output = (weights @ value)[..., :64, :]"}
    assert [probe for probe in PROBES if ask(shape.test_shape, probe=probe, **line) is not None] == ["long", "limit"]


def test_weights_need_not_be_returned(ask: Ask) -> None:
    assert ask(shape.test_shape, probe="basic", answer="return output") is None
