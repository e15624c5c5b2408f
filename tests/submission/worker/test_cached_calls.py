"""The worker finds the cache in what a call returns, passes it on, and sees when a module keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pytest_attn_grader.submission.worker import cached_calls

OUTPUT = torch.zeros(2, 3, 8)
WEIGHTS = torch.zeros(2, 4, 3, 3)
KEY, VALUE = torch.ones(2, 4, 3, 2), torch.ones(2, 4, 3, 2)


@pytest.mark.parametrize(
    ("result", "cache"),
    [
        (OUTPUT, None),
        ((OUTPUT, None), None),
        ((OUTPUT, WEIGHTS), None),
        ((OUTPUT, (KEY, VALUE)), (KEY, VALUE)),
        ((OUTPUT, WEIGHTS, (KEY, VALUE)), (KEY, VALUE)),
        ((OUTPUT, {"k": KEY, "v": VALUE}), {"k": KEY, "v": VALUE}),
        ((OUTPUT, KEY, VALUE), (KEY, VALUE)),
        ((OUTPUT, torch.stack([KEY, VALUE])), torch.stack([KEY, VALUE])),
        ({"out": OUTPUT, "past_key_value": (KEY, VALUE)}, (KEY, VALUE)),
        ({"out": OUTPUT, "attn": WEIGHTS}, None),
    ],
)
def test_the_cache_in_a_result(result: Any, cache: Any) -> None:
    assert str(cached_calls.find_cache(result)) == str(cache)


def test_a_cache_object_holds_all_keys_of_a_layer() -> None:
    cache = cached_calls.KeyValueCache()
    assert (cache.get_seq_length(), cache.get_pos(), cache.was_written) == (0, 0, False)
    cache.update(KEY, VALUE, 1)
    cache.insert_kv(0, KEY, VALUE)
    keys, values = cache.update(2 * KEY, 3 * VALUE, 1, {"sin": None})
    assert torch.equal(keys, torch.cat([KEY, 2 * KEY], dim=-2))
    assert torch.equal(values, torch.cat([VALUE, 3 * VALUE], dim=-2))
    assert (cache.get_seq_length(1), cache.get_seq_length(0), cache.get_pos()) == (6, 3, 3)


def run(called: Any, calls: int, **keywords: Mapping[str, Any]) -> tuple[list[Any], bool]:
    asked = [{"arguments": [], "keywords": {**keywords, "number": {"value": call}}} for call in range(calls)]
    results, passed_on, _ = cached_calls.run(called, called, asked, lambda item: item["value"])
    return results, passed_on


def test_what_a_call_returns_is_what_the_next_one_gets() -> None:
    def called(number: int, past: Any) -> tuple[Tensor, list[int]]:
        return OUTPUT, [*(past or []), number]

    results, passed_on = run(called, 3, past={"cache": "nothing"})
    assert [seen for _, seen in results] == [[0], [0, 1], [0, 1, 2]]
    assert passed_on


@pytest.mark.parametrize(("first", "empty"), [("pair", (None, None)), ("list", [None, None]), ("empty", [])])
def test_a_cache_that_starts_empty(first: str, empty: Any) -> None:
    seen = []

    def called(number: int, past: Any) -> tuple[Tensor, Any]:
        seen.append(past)
        return OUTPUT, (KEY, VALUE)

    assert run(called, 2, past={"cache": first})[1]
    assert seen == [empty, (KEY, VALUE)]


@pytest.mark.parametrize("first", ["list", "empty"])
def test_an_empty_list_may_be_written_into(first: str) -> None:
    def called(number: int, past: list[int | None]) -> int:
        past[:] = [(past[0] or 0) + 3 if past else 3]
        return past[0] or 0

    assert run(called, 3, past={"cache": first}) == ([3, 6, 9], True)


@pytest.mark.parametrize("first", ["list", "empty"])
def test_an_empty_list_that_is_not_used_is_no_cache(first: str) -> None:
    assert run(lambda number, past: OUTPUT, 2, past={"cache": first})[1] is False


def test_one_object_for_all_calls() -> None:
    def called(number: int, cache: cached_calls.KeyValueCache) -> int:
        cache.update(KEY, VALUE)
        return cache.get_seq_length()

    assert run(called, 3, cache={"cache": "object"}) == ([3, 6, 9], True)


def test_an_object_that_is_not_used_is_no_cache() -> None:
    assert run(lambda number, cache: OUTPUT, 2, cache={"cache": "object"})[1] is False


class Keeps(nn.Module):
    def __init__(self, name: str, *, writes: bool) -> None:
        super().__init__()
        self.inner = nn.Module()
        self.inner.register_buffer(name, torch.zeros(4))
        self.name, self.writes = name, writes

    def forward(self, number: int) -> Tensor:
        if self.writes:
            getattr(self.inner, self.name)[number] = 1.0
        return OUTPUT


@pytest.mark.parametrize(
    ("name", "writes", "kept"), [("cache_k", True, True), ("cache_k", False, False), ("seen", True, False)]
)
def test_a_module_that_keeps_its_cache(name: str, writes: bool, kept: bool) -> None:
    assert run(Keeps(name, writes=writes), 2)[1] is kept


def test_another_text_comes_before_where_a_method_empties_the_cache() -> None:
    class Keeping:
        def __init__(self) -> None:
            self.cache: list[float] = []
            self.before: list[float] = []

        def __call__(self, states: Tensor) -> list[float]:
            self.cache.append(float(states.sum()))
            return list(self.cache)

        def clear(self) -> None:
            self.before, self.cache = self.cache, []

    target = Keeping()
    calls = [{"arguments": [], "keywords": {"states": {"value": torch.tensor([number])}}} for number in (1.0, 2.0)]
    results, _, _ = cached_calls.run(target, target, calls, lambda item: item["value"], "clear")
    assert results == [[1.0], [1.0, 2.0]]
    assert target.before == [-1.0, -2.0]


def test_a_copy_is_called_and_what_cannot_be_copied_itself() -> None:
    module = Keeps("cache_k", writes=True)
    cached_calls.copy_of(module)(0)
    assert not module.inner.cache_k.any()
    module.graph = torch.ones(1, requires_grad=True) * 2
    assert cached_calls.copy_of(module) is module


def test_a_cache_object_is_a_dict_in_which_nothing_is_missing() -> None:
    cache = cached_calls.KeyValueCache()
    assert (bool(cache), cache["k"], "k" in cache, cache.was_written) == (True, None, False, False)
    cache["k"] = KEY
    assert cache.was_written
    assert "k" in cache


def test_a_number_beside_keys_and_values_may_be_the_position_of_the_first_of_them() -> None:
    cache = cached_calls.KeyValueCache()
    cache.update(KEY, VALUE, 0)
    cache.update(KEY, VALUE, 3)
    keys, values = cache.update(start_pos=6, k=2 * KEY, v=3 * VALUE)
    assert torch.equal(keys, torch.cat([KEY, KEY, 2 * KEY], dim=-2))
    assert torch.equal(values, torch.cat([VALUE, VALUE, 3 * VALUE], dim=-2))


def test_positions_may_come_before_keys_and_values() -> None:
    cache = cached_calls.KeyValueCache()
    cache.update(torch.arange(3), KEY, VALUE)
    keys, _ = cache.update(torch.arange(3, 6), 2 * KEY, VALUE)
    assert torch.equal(keys, torch.cat([KEY, 2 * KEY], dim=-2))


@pytest.mark.parametrize("lengths", [(1, 1, 1, 1), (4, 2, 3), (1, 3)])
def test_tokens_may_come_before_the_heads(lengths: tuple[int, ...]) -> None:
    cache = cached_calls.KeyValueCache()
    parts = [torch.randn(2, length, 4, 8) for length in lengths]
    keys = [cache.update(part, part)[0] for part in parts][-1]
    assert torch.equal(keys, torch.cat(parts, dim=1))
    assert cache.get_seq_length() == sum(lengths)
