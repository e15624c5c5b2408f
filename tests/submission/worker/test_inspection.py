"""The constants of a file of which its classes make a triangle, and functions behind decorators."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from pytest_attn_grader.submission.worker.inspection import LONGEST_TEXT, lengthen_texts, parameters_of, unwrap

SOURCE = """
import torch
block_size, n_embd, long_block, steps, tile_len = 8, 32, 4096, 3, 4

class Head(torch.nn.Module):
    def __init__(self, head_size):
        super().__init__()
        self.tril = torch.tril(torch.ones(block_size, block_size)) if long_block and n_embd and steps else None

class Heads(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.heads = [Head(n_embd)]

    def forward(self, x):
        return torch.tril(x[:tile_len])
"""


@pytest.fixture
def module() -> Iterator[ModuleType]:
    made = ModuleType("lecture_of_eight_tokens")
    sys.modules[made.__name__] = made
    exec(SOURCE, vars(made))
    yield made
    del sys.modules[made.__name__]


def test_what_a_constructor_makes_a_triangle_of_is_raised(module: ModuleType) -> None:
    assert lengthen_texts(module.Heads) == {"block_size": LONGEST_TEXT}
    assert module.Heads().heads[0].tril.shape == (LONGEST_TEXT, LONGEST_TEXT)
    assert (module.n_embd, module.long_block, module.steps, module.tile_len) == (32, 4096, 3, 4)


def test_a_class_of_another_file_changes_nothing(module: ModuleType) -> None:
    assert lengthen_texts(dict) == {}
    assert module.block_size == 8


def decorate(function: Callable[..., str]) -> Callable[..., str]:
    def wrapped(*args: Any, **kwargs: Any) -> str:
        return function(*args, **kwargs)

    return wrapped


def attend(query: str, key: str = "k") -> str:
    return query + key


class Attends:
    attend = decorate(lambda self, query: str(query))


def test_what_a_decorator_without_wraps_hides_is_found() -> None:
    assert unwrap(decorate(decorate(attend))) is attend
    assert [each["name"] for each in parameters_of(decorate(functools.wraps(attend)(decorate(attend))))] == [
        "query",
        "key",
    ]
    assert [each["name"] for each in parameters_of(Attends().attend)] == ["query"]


def test_what_is_no_decorator_stays_as_it_is() -> None:
    def choose(first: Callable[..., str], second: Callable[..., str]) -> Callable[..., str]:
        return lambda *args: first(second(*args))

    def endless(*args: Any) -> Any:
        return later(*args)

    kept = choose(attend, decorate(attend))
    for each in (kept, attend, len, print, Attends, endless):
        assert unwrap(each) is each

    def later(*args: Any) -> Any:
        return endless(*args)
