"""A cache of what is the same for every submission of a class, inherited through fork.

The process that forks for every submission calls `enable`. From then on the results of `cached` are kept, and a child
finds what was cached before it was forked. In an ordinary run nothing is kept. Never cache anything derived from a
submission.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")


class _Cache:
    def __init__(self) -> None:
        self.by_key: dict[Hashable, Any] = {}
        # Values that belong to an object go with it, and are never taken for those of another at the same address.
        self.by_owner: WeakKeyDictionary[Any, dict[Hashable, Any]] = WeakKeyDictionary()


_cache: _Cache | None = None


def enable() -> None:
    """Cache from now on, in this process and in those forked from it."""
    global _cache  # noqa: PLW0603 - like the preloaded model, it is there for the runs forked from this process
    _cache = _cache or _Cache()


def is_enabled() -> bool:
    """Whether results are cached: this is one run of many."""
    return _cache is not None


def disable() -> None:
    """Forget everything, and stop caching."""
    global _cache  # noqa: PLW0603 - see `enable`
    _cache = None


def cached(key: Hashable, make: Callable[[], T], *, owner: object = None) -> T:
    """Return what `make` returns, cached under this key; it must not be changed.

    Args:
        key: everything that the result depends on.
        owner: an object that the result also depends on (a model) and that can be weakly referenced.
    """
    if _cache is None:
        return make()
    known = _cache.by_key if owner is None else _cache.by_owner.setdefault(owner, {})
    if key not in known:
        known[key] = make()
    found: T = known[key]
    return found
