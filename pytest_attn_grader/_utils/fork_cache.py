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


# None while nothing is kept.
_by_key: dict[Hashable, Any] | None = None
# Values that belong to an object go with it, and are never taken for those of another at the same address.
_by_owner: WeakKeyDictionary[Any, dict[Hashable, Any]] = WeakKeyDictionary()


def enable() -> None:
    """Cache from now on, in this process and in those forked from it."""
    global _by_key  # noqa: PLW0603 - like the preloaded model, it is there for the runs forked from this process
    _by_key = {} if _by_key is None else _by_key


def is_enabled() -> bool:
    """Whether results are cached: this is one run of many."""
    return _by_key is not None


def disable() -> None:
    """Forget everything, and stop caching."""
    global _by_key  # noqa: PLW0603 - see `enable`
    _by_key = None
    _by_owner.clear()


def cached(key: Hashable, make: Callable[[], T], *, owner: object = None) -> T:
    """Return what `make` returns, cached under this key; it must not be changed.

    Args:
        key: everything that the result depends on.
        owner: an object that the result also depends on (a model) and that can be weakly referenced.
    """
    if _by_key is None:
        return make()
    known = _by_key if owner is None else _by_owner.setdefault(owner, {})
    if key not in known:
        known[key] = make()
    found: T = known[key]
    return found
