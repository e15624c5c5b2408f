from __future__ import annotations

import pytest

from pytest_attn_grader.checks import test_shape as shape
from pytest_attn_grader.checks import test_weights as weights

from .conftest import Ask

PROBES = ["basic", "single", "one-token", "square", "long", "narrow", "limit"]


@pytest.mark.parametrize("probe", PROBES)
def test_a_right_attention_has_the_right_shapes(probe: str, ask: Ask) -> None:
    assert ask(shape.test_shape, probe=probe) is None


@pytest.mark.parametrize(
    ("line", "probe", "actual"),
    [
        ({"output": "output = (weights @ value).transpose(1, 2)"}, "basic", "attn_output of shape (3, 10, 4, 64)"),
        ({"output": "output = (weights @ value).sum(0, keepdim=True)"}, "basic", "attn_output of shape (1, 4, 10, 64)"),
        ({"output": "output = (weights @ value).double()"}, "basic", "attn_output in torch.float64"),
        ({"answer": "return output, weights.mean(dim=1)"}, "basic", "attn_weights of shape (3, 10, 10)"),
        ({"output": "output = (weights @ value)[..., :64, :]"}, "long", "attn_output of shape (1, 4, 64, 64)"),
    ],
)
def test_a_wrong_shape(line: dict[str, str], probe: str, actual: str, ask: Ask) -> None:
    assert ask(shape.test_shape, probe=probe, **line) == actual


def test_a_shape_that_is_wrong_at_one_length_only(ask: Ask) -> None:
    line = {"output": "output = (weights @ value)[..., :64, :]"}
    assert [probe for probe in PROBES if ask(shape.test_shape, probe=probe, **line) is not None] == ["long", "limit"]


def test_weights_need_not_be_returned(ask: Ask) -> None:
    assert ask(shape.test_shape, probe="basic", answer="return output") is None
    assert ask(weights.test_rows_sum_to_one, answer="return output") is None
    assert "sums to" in (ask(weights.test_rows_sum_to_one, answer="return output * 2") or "")


ALL = (weights.test_finite, weights.test_non_negative, weights.test_rows_sum_to_one, weights.test_times_value)


@pytest.mark.parametrize("check", ALL)
def test_right_weights(check: object, ask: Ask) -> None:
    assert ask(check) is None


@pytest.mark.parametrize(
    ("check", "line", "actual"),
    [
        (weights.test_finite, {"softmax": "weights = scores.exp() / 0"}, "NaN or infinite"),
        (weights.test_non_negative, {"softmax": "weights = torch.softmax(scores, dim=-1) - 0.1"}, "a weight of -0.1"),
        (weights.test_rows_sum_to_one, {"softmax": "weights = torch.sigmoid(scores)"}, "a row that sums to"),
        (weights.test_rows_sum_to_one, {"softmax": "weights = torch.softmax(scores, dim=-2)"}, "a row that sums to"),
        (weights.test_times_value, {"answer": "return output, weights.flip(-1)"}, "they differ by up to"),
        (weights.test_times_value, {"output": "output = weights @ value + value"}, "they differ by up to"),
    ],
)
def test_wrong_weights(check: object, line: dict[str, str], actual: str, ask: Ask) -> None:
    assert actual in (ask(check, **line) or "")
