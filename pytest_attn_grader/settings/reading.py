"""Build the `Settings` of a run from command line, environment and ini file.

Precedence: command line > environment > ini file > default.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from pytest_attn_grader.errors import UsageError
from pytest_attn_grader.settings.options import (
    ALL_LAYERS,
    DEFAULT_POINTS,
    DEFAULT_THRESHOLDS,
    FORMAT_NAMES,
    OPTION_BY_NOUN,
    PROMPT_EXAMPLE,
    read_option,
)
from pytest_attn_grader.settings.settings import INI_FILE_KEY, NO_INI_FILE, Settings


def read_settings(config: pytest.Config, environment: Mapping[str, str] = os.environ) -> Settings | None:
    """Build the `Settings` of this run, or None when no student is given.

    Raises:
        UsageError: a value cannot be used; the message names it, its source and what to write instead.
    """
    student, source = read_option(config, "student", environment)
    if student is None:
        return None
    if not student.strip():
        raise UsageError(f"{source} is empty. Give a module or a file: --attn-student=my_attention")

    def read(noun: str, convert: Callable[[str], Any], expects: str) -> Any:
        value, source = read_option(config, noun, environment)
        if value is None:
            return None
        try:
            return convert(value)
        except ValueError:
            raise UsageError(f"{source} got {value!r}, but {noun} must be {expects}.") from None

    def read_choice(noun: str) -> Any:
        choices = OPTION_BY_NOUN[noun].choices or ()
        return read(noun, lambda value: one_of(choices, value), f"one of {', '.join(choices)}")

    seed = read("seed", non_negative_int, "a whole number from 0 to 2**63 - 1")
    paths = {noun: read(noun, non_empty, "a path") for noun in ("report", "html", "plots", "progress")}
    formats = read("format", parse_formats, f"NAME:PATH with a name of {', '.join(FORMAT_NAMES)}") or ()
    prompt = read("prompt", unicode_text, "text in UTF-8")
    if not prompt.strip():
        _, source = read_option(config, "prompt", environment)
        raise UsageError(f"{source} is empty. Give a sentence of at least two tokens, such as {PROMPT_EXAMPLE!r}.")
    invocation_dir = Path(config.invocation_params.dir)
    layer = read("layer", layer_number, "a layer number, counted from 0, or all")
    return Settings(
        student=student.strip(),
        model=read("model", non_empty, "a model: auto, mini, mini-llama, smollm2, distilgpt2, a hub id or a folder"),
        # With all layers replaced, layer 0 is the one compared in detail.
        layer_idx=0 if layer == ALL_LAYERS else layer,
        all_layers=layer == ALL_LAYERS,
        prompt=prompt,
        device=read("device", non_empty, "auto, cpu, cuda or cuda:N"),
        **{noun: None if path is None else invocation_dir / path for noun, path in paths.items()},
        formats=tuple((name, invocation_dir / path) for name, path in formats),
        budget_seconds=read("budget", positive_float, "a number of seconds above 0"),
        timeout_seconds=read("timeout", positive_float, "a number of seconds above 0"),
        seed=draw_seed() if seed is None else seed,
        sandbox=read_choice("sandbox"),
        require_sandbox=read_choice("require_sandbox"),
        mask=read_choice("mask"),
        hints=read_choice("hints"),
        title=read("title", unicode_text, "text in UTF-8"),
        catalogue=read("catalogue", web_address, "an address that begins with https:// or http://"),
        points=_read_table(config, "attn_points", DEFAULT_POINTS),
        thresholds=_read_table(config, "attn_thresholds", DEFAULT_THRESHOLDS),
        forbid=tuple(config.getini("attn_forbid")),
        invocation_dir=invocation_dir,
        ini=config.stash.get(INI_FILE_KEY, NO_INI_FILE),
    )


def _read_table(config: pytest.Config, name: str, defaults: Mapping[str, float]) -> Mapping[str, float]:
    table = dict(defaults)
    for line in config.getini(name):
        key, separator, value = (part.strip() for part in line.partition("="))
        if not separator or key not in defaults:
            raise UsageError(
                f"ini option {name}: {line!r} is not 'name = number' with a name of {', '.join(defaults)}."
            )
        try:
            number = float(value)
        except ValueError:
            raise UsageError(f"ini option {name}: {value!r} in {line!r} is not a number.") from None
        if not 0 <= number < float("inf"):
            raise UsageError(f"ini option {name}: {value!r} in {line!r} must be finite and not negative.")
        table[key] = number
    return MappingProxyType(table)


def draw_seed() -> int:
    """Draw a seed for a run, or for all runs of a class."""
    return int.from_bytes(os.urandom(4), "little")


def non_empty(value: str) -> str:
    if not value.strip():
        raise ValueError(value)
    return value.strip()


def parse_formats(value: str) -> tuple[tuple[str, str], ...]:
    """Parse lines of NAME:PATH.

    Raises:
        ValueError: there is no line, or a line does not name a known format.
    """
    pairs = [line.strip().partition(":") for line in value.splitlines() if line.strip()]
    if not pairs or any(name not in FORMAT_NAMES or not path for name, _, path in pairs):
        raise ValueError(value)
    return tuple((name, path) for name, _, path in pairs)


def unicode_text(value: str) -> str:
    # Bytes on the command line that are not UTF-8 become lone surrogates, which tokenizers reject.
    value.encode("utf-8")
    return value


def web_address(value: str) -> str:
    if not value.startswith(("https://", "http://")):
        raise ValueError(value)
    return value.rstrip("/")


def non_negative_int(value: str) -> int:
    number = int(value)
    if not 0 <= number < 2**63:
        raise ValueError(value)
    return number


def layer_number(value: str) -> int | str:
    return ALL_LAYERS if value.strip() == ALL_LAYERS else non_negative_int(value)


def positive_float(value: str) -> float:
    number = float(value)
    if not 0 < number < float("inf"):
        raise ValueError(value)
    return number


def one_of(choices: tuple[str, ...], value: str) -> str:
    if value not in choices:
        raise ValueError(value)
    return value
