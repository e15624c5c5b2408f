"""What is the same for every submission of a class, worked out once.

A process that forks for every submission calls `begin`; what it and its children then ask `once` is kept, and a child
finds what was there before it was forked. In an ordinary run nothing is kept. Keep nothing here that a submission had a
part in.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")


class _Kept:
    def __init__(self) -> None:
        self.by_key: dict[Hashable, Any] = {}
        # What belongs to an object goes with it, and cannot be taken for what belongs to another at the same address.
        self.by_owner: WeakKeyDictionary[Any, dict[Hashable, Any]] = WeakKeyDictionary()


_kept: _Kept | None = None


def begin() -> None:
    """Keep from now on what `once` makes, in this process and in those forked from it."""
    global _kept  # noqa: PLW0603 - as the model that is preloaded, it is there for the runs forked from this process
    _kept = _kept or _Kept()


def is_enabled() -> bool:
    """Whether something is kept: this is one run of many."""
    return _kept is not None


def end() -> None:
    """Forget everything, and keep nothing any more."""
    global _kept  # noqa: PLW0603 - see `begin`
    _kept = None


def once(key: Callable[[], Hashable], make: Callable[[], T], *, owner: object = None) -> T:
    """What `make` returns, kept under this key; nobody may change it.

    Args:
        key: says everything that the result depends on; asked only where something is kept.
        owner: the object that it depends on besides (a model), which can be weakly referenced.
    """
    if _kept is None:
        return make()
    known = _kept.by_key if owner is None else _kept.by_owner.setdefault(owner, {})
    asked = key()
    if asked not in known:
        known[asked] = make()
    found: T = known[asked]
    return found
