"""A value that is made once, when it is first needed."""

from __future__ import annotations

import pytest

from pytest_attn_grader._utils.lazy import Lazy


def test_a_value_is_made_once_and_can_be_looked_at_without_making_it() -> None:
    made: list[int] = []

    def make() -> int:
        made.append(len(made) + 1)
        return made[-1]

    lazy = Lazy(make)
    assert lazy.peek() is None
    assert [lazy.get(), lazy.get(), lazy.peek()] == [1, 1, 1]
    lazy.clear()
    assert lazy.peek() is None
    assert lazy.get() == 2


def test_what_raised_is_tried_again() -> None:
    answers = iter([ValueError("not yet"), 7])

    def make() -> int:
        answer = next(answers)
        if isinstance(answer, ValueError):
            raise answer
        return answer

    lazy = Lazy(make)
    with pytest.raises(ValueError, match="not yet"):
        lazy.get()
    assert lazy.get() == 7


def test_a_known_value_is_not_made() -> None:
    assert Lazy(lambda: 1 // 0, 5).get() == 5
