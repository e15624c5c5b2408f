"""The texts among which code chooses."""

from __future__ import annotations

import pytest
import torch

from pytest_attn_grader.sandbox.worker.choices import choices_in, input_sizes_in, tree_of


class ByComparison:
    def __init__(self, kind: str, order: str) -> None:
        if kind.lower() == "linear" or kind == "full":
            self.order = order

    def forward(self, x: int) -> bool:
        return self.order in ("first", "last") and x == 3


class Projects(torch.nn.Module):
    def __init__(self, width: int, kv_dim: int, d_v: int) -> None:
        super().__init__()
        self.q_proj = torch.nn.Linear(width, width)
        self.to_k, self.W_v = torch.nn.Linear(kv_dim, width), torch.nn.Linear(kv_dim, d_v)
        self.value = torch.nn.Linear(kv_dim, d_v)
        self.out_proj = torch.nn.Linear(d_v, width)


def test_sizes_of_what_is_projected() -> None:
    assert input_sizes_in(tree_of(Projects)) == {"width", "kv_dim"}
    assert input_sizes_in(tree_of(int)) == set()


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
    assert choices_in(tree_of(value)) == choices
