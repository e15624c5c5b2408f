"""The texts among which code chooses."""

from __future__ import annotations

import pytest

from pytest_attn_grader.sandbox.worker.choices import choices_in


class ByComparison:
    def __init__(self, kind: str, order: str) -> None:
        if kind.lower() == "linear" or kind == "full":
            self.order = order

    def forward(self, x: int) -> bool:
        return self.order in ("first", "last") and x == 3


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
    assert choices_in(value) == choices
