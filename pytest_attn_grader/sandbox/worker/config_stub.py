"""A stub of the configuration object of a submission's constructor. Part of the worker.

Courses pass sizes in a configuration object (a dataclass, a dict, a SimpleNamespace) that the submission may not even
define. This one answers to all the usual names, by attribute and by key, and remembers which were asked for.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

# Of many names that mean the same, one each, for a message.
USUAL = ("n_embd", "d_model", "hidden_size", "n_head", "num_heads", "head_dim", "block_size", "dropout", "bias")


class Config(Mapping[str, Any]):
    """Names and values; a name that is not there raises `AttributeError` or `KeyError`, which says what is there."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.__dict__["_values"] = dict(values)
        self.__dict__["_asked"] = {}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name not in self._values:
            raise AttributeError(self._missing(name), name=name)
        return self[name]

    def __setattr__(self, name: str, value: Any) -> None:
        self._values[name] = value

    def __getitem__(self, name: str) -> Any:
        if name not in self._values:
            raise KeyError(self._missing(name))
        self._asked[name] = self._values[name]
        return self._values[name]

    def _missing(self, name: str) -> str:
        close = difflib.get_close_matches(str(name), self._values, n=3, cutoff=0.5)
        hint = f" Close to it: {', '.join(close)}." if close else ""
        usual = ", ".join(each for each in USUAL if each in self._values)
        return (
            f"the grader's config has no {str(name)[:80]!r}.{hint} It answers to {usual} and "
            f"{len(self._values)} names in all."
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def read_keys(config: Config) -> dict[str, Any]:
    """Return what a constructor read, with the values it got."""
    return dict(config.__dict__["_asked"])
