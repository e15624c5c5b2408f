"""From what was typed to a value; `ValueError` for what cannot be used."""

from __future__ import annotations

from collections.abc import Callable

from pytest_attn_grader.settings.defaults import ALL_LAYERS, FORMAT_NAMES


def non_empty(value: str) -> str:
    if not value.strip():
        raise ValueError(value)
    return value.strip()


def parse_formats(value: str) -> tuple[tuple[str, str], ...]:
    """The names and paths of NAME:PATH, one a line.

    Raises:
        ValueError: there is none, or one of them is of no known format.
    """
    pairs = [line.strip().partition(":") for line in value.splitlines() if line.strip()]
    if not pairs or any(name not in FORMAT_NAMES or not path for name, _, path in pairs):
        raise ValueError(value)
    return tuple((name, path) for name, _, path in pairs)


def unicode_text(value: str) -> str:
    # Bytes on the command line that are no UTF-8 come as lone surrogates, which no tokenizer takes.
    value.encode("utf-8")
    return value


def not_negative_int(value: str) -> int:
    number = int(value)
    if not 0 <= number < 2**63:
        raise ValueError(value)
    return number


def layer_number(value: str) -> int | str:
    return ALL_LAYERS if value.strip() == ALL_LAYERS else not_negative_int(value)


def positive_float(value: str) -> float:
    number = float(value)
    if not 0 < number < float("inf"):
        raise ValueError(value)
    return number


def one_of(choices: tuple[str, ...]) -> Callable[[str], str]:
    def convert(value: str) -> str:
        if value not in choices:
            raise ValueError(value)
        return value

    return convert
