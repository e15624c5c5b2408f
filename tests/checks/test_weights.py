from __future__ import annotations

import pytest

from pytest_attn_grader.checks import test_weights as weights

from .conftest import Ask


def test_weights_need_not_be_returned(ask: Ask) -> None:
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
