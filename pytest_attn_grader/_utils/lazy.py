"""A value that is made when it is first needed, and can be looked at without making it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Lazy(Generic[T]):
    """Make a value once, when it is first needed.

    Args:
        make: returns the value; called again when it raised.
        value: the value itself, when it is known already.
    """

    def __init__(self, make: Callable[[], T], value: T | None = None) -> None:
        self._make = make
        self._value = value

    def get(self) -> T:
        """Return the value, made now if it is not there yet."""
        if self._value is None:
            self._value = self._make()
        return self._value

    def peek(self) -> T | None:
        """Return the value if it is there; never make it."""
        return self._value

    def clear(self) -> None:
        """Forget the value; `get` makes it again."""
        self._value = None
