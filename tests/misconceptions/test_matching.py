"""When two exceptions are the same failure."""

from __future__ import annotations

import pytest

from pytest_attn_grader.misconceptions.matching import same_failure
from pytest_attn_grader.results.submission import Failure

SIZES = "RuntimeError: The size of tensor a ({}) must match the size of tensor b ({}) at non-singleton dimension {}"
MIXED = "RuntimeError: expected m1 and m2 to have the same dtype, but got: float != c10::BFloat16"
OVERFLOW = "RuntimeError: value cannot be converted to type c10::BFloat16 without overflow"


def failure(message: str) -> Failure:
    return Failure(name="raised", message=message)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (SIZES.format(5, 10, 2), SIZES.format(5, 10, 3), True),
        (SIZES.format(5, 10, 2), SIZES.format(5, 9, 2), False),
        (MIXED, MIXED.replace("m1 and m2", "self and mat2"), True),
        (MIXED, OVERFLOW, False),
        (OVERFLOW, OVERFLOW, True),
        (OVERFLOW, OVERFLOW.replace("RuntimeError", "ValueError"), False),
    ],
)
def test_kind_and_sizes(one: str, other: str, same: bool) -> None:
    assert same_failure(failure(one), failure(other)) is same


def test_an_answer_is_no_failure() -> None:
    assert same_failure(None, None)
    assert not same_failure(None, failure(MIXED))
