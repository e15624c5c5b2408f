"""Call an object several times, each time with the cache that the call before has left. Part of the worker."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from . import serialization

_CACHE_WORDS = ("cache", "past", "present")
_ATTRIBUTE_WORDS = ("cache", "past", "prev", "kv", "key", "value", "memory")
_KEY_DIMENSIONS = 4


class KeyValueCache(dict[str, Any]):
    """An empty cache object: `update` as in transformers, `insert_kv` as in nanochat. Either returns all so far.

    It is a dict too, in which a submission may keep what it likes; what is not there yet is None.
    """

    def __init__(self) -> None:
        super().__init__()
        self._layers: dict[int, tuple[Tensor, Tensor]] = {}
        self._axis = -2

    def __missing__(self, name: str) -> None:
        return None

    def __bool__(self) -> bool:
        return True

    @property
    def was_written(self) -> bool:
        return bool(self._layers) or len(self) > 0

    def update(self, *given: Any, **named: Any) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Append keys and values ``(batch, heads, seq, head_dim)``, or with the axis of tokens before the heads'.

        They are the two tensors that have heads. A number beside them is the layer's, or the position of the first of
        these tokens: that is as many tokens as are there.
        """
        values = [*given, *named.values()]
        key, value, *_ = (each for each in values if isinstance(each, Tensor) and each.dim() >= _KEY_DIMENSIONS - 1)
        layer_idx = next((each for each in values if type(each) is int), 0)
        if layer_idx not in self._layers and layer_idx in map(self.get_seq_length, self._layers):
            layer_idx = next(each for each in self._layers if self.get_seq_length(each) == layer_idx)
        before = self._layers.get(layer_idx)
        if before is not None:
            self._axis = _axis_of_tokens(before[0], key)
            key, value = (torch.cat(pair, dim=self._axis) for pair in zip(before, (key, value), strict=True))
        self._layers[layer_idx] = (key, value)
        return key, value

    def insert_kv(self, layer_idx: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """The same, in another order."""
        return self.update(key, value, layer_idx)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Return the number of tokens so far."""
        return self._layers[layer_idx][0].shape[self._axis] if layer_idx in self._layers else 0

    def get_pos(self) -> int:
        """Return the number of tokens so far, of the layer that has the fewest."""
        return min(map(self.get_seq_length, self._layers), default=0)


def _axis_of_tokens(before: Tensor, now: Tensor) -> int:
    """The axis in which two parts of a text differ; of parts of one length, an axis of one token, else the usual."""
    differing = [axis for axis in (-2, -3) if before.shape[axis] != now.shape[axis]]
    single = [axis for axis in (-2, -3) if now.shape[axis] == 1]
    return next(iter([*differing, *single]), -2)


def copy_of(target: Any) -> Any:
    """Return the object with nothing of later calls in it; itself where it cannot be copied."""
    try:
        return copy.deepcopy(target)
    except (RuntimeError, TypeError):  # a tensor of a graph, a generator, a lock
        return target


def run(
    target: Any,
    called: Callable[..., Any],
    calls: Sequence[Mapping[str, Any]],
    make_argument: Callable[[Mapping[str, Any]], Any],
    reset: str | None = None,
) -> tuple[list[Any], bool, float]:
    """Make the calls.

    Args:
        target: the object that may keep a cache.
        called: what is called; its method, or itself.
        reset: name of a method of the object that empties its cache; all calls are made once before it.

    Returns:
        The results, whether a cache was passed on, and the seconds in the student's code.
    """
    cache_object = KeyValueCache()
    list_of_none: list[Any] = [None, None]
    empty_list: list[Any] = []
    first = {"nothing": None, "pair": (None, None), "list": list_of_none, "empty": empty_list}
    takes_a_cache = any("cache" in item for call in calls for _, item in _items_of(call))
    kept_before = _kept_tensors(target)
    returned: Any = None
    passed_on = False
    results = []
    seconds = 0.0

    def resolve(item: Mapping[str, Any]) -> Any:
        if "cache" not in item:
            return make_argument(item)
        if item["cache"] == "object":
            return cache_object
        return first[item["cache"]] if returned is None else returned

    if reset is not None:
        run(target, called, calls, lambda item: _other(make_argument(item)))
        getattr(target, reset)()
    for call in calls:
        positional = [resolve(item) for _, item in call["arguments"]]
        keywords = {name: resolve(item) for name, item in call["keywords"].items()}
        started = time.perf_counter()
        result = serialization.unwrap_dataclass(called(*positional, **keywords))
        seconds += time.perf_counter() - started
        returned = find_cache(result)
        written = cache_object.was_written or any(part is not None for part in (*list_of_none, *empty_list))
        passed_on = passed_on or returned is not None or written
        results.append(result)
    if not takes_a_cache:
        passed_on = not _same_tensors(kept_before, _kept_tensors(target))
    return results, passed_on, seconds


def _other(argument: Any) -> Any:
    """The argument of another text: of the same one a cache that is not emptied would go unnoticed."""
    return -argument if isinstance(argument, Tensor) and argument.is_floating_point() else argument


def _items_of(call: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return [*((name, item) for name, item in call["arguments"]), *call["keywords"].items()]


def _kept_tensors(target: Any) -> list[Tensor]:
    """Copies of the tensors that an object and its modules keep under the name of a cache."""
    owners = target.modules() if isinstance(target, torch.nn.Module) else [target]
    found: list[Tensor] = []
    for owner in owners:
        kept = {**getattr(owner, "__dict__", {}), **getattr(owner, "_buffers", {})}
        for name, value in kept.items():
            if name in {"_buffers", "_modules", "_parameters"} or not any(word in name for word in _ATTRIBUTE_WORDS):
                continue
            values = (
                value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else [value]
            )
            found += [each.detach().clone() for each in values if isinstance(each, Tensor)]
    return found


def _same_tensors(before: list[Tensor], after: list[Tensor]) -> bool:
    return len(before) == len(after) and all(
        one.shape == other.shape and torch.equal(one, other) for one, other in zip(before, after, strict=True)
    )


def find_cache(result: Any) -> Any:
    """Return the part of a result that is a cache of keys and values; None where there is none.

    It is what is called so, or the last part that is neither a tensor nor None, or the last two of several tensors that
    have the shape of keys, or a last tensor that holds both.
    """
    if isinstance(result, dict):
        named = [value for name, value in result.items() if any(word in str(name).lower() for word in _CACHE_WORDS)]
        return next((value for value in named if value is not None), None)
    if not isinstance(result, (tuple, list)):
        return None
    rest = [item for item in result[1:] if item is not None]
    objects = [item for item in rest if not isinstance(item, Tensor)]
    if objects:
        return objects[-1]
    if len(rest) >= 2 and rest[-1].shape == rest[-2].shape and rest[-1].dim() == _KEY_DIMENSIONS:
        return (rest[-2], rest[-1])
    return rest[-1] if rest and rest[-1].dim() > _KEY_DIMENSIONS else None
