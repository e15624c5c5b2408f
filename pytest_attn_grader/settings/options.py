"""The options, each three times under one noun: ``--attn-model``, ``ATTN_MODEL`` and ini ``attn_model``.

Values stay strings on the pytest side, because xdist sends options to its workers and needs them serialisable.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from pytest_attn_grader.settings.defaults import (
    FORMAT_NAMES,
    HINT_LEVELS,
    PROMPT_EXAMPLE,
    REQUIRED_TIERS,
    SANDBOX_TIERS,
)


@dataclass(frozen=True)
class Option:
    """One option under one noun, on the command line, in the environment and in the ini file."""

    noun: str
    help: str
    default: str | None = None
    metavar: str = "VALUE"
    choices: tuple[str, ...] | None = None
    bare: str | None = None
    """What the option means when it is typed without a value; None when it needs one."""
    repeatable: bool = False

    @property
    def flag(self) -> str:
        return f"--attn-{self.noun.replace('_', '-')}"

    @property
    def dest(self) -> str:
        return f"attn_{self.noun}"

    @property
    def environment_name(self) -> str:
        return f"ATTN_{self.noun.upper()}"


OPTIONS: tuple[Option, ...] = (
    Option(
        "student", "grade this submission: a module (pkg.module) or a file (path.py), either with :NAME", None, "TARGET"
    ),
    Option("model", "auto, mini, mini-llama, distilgpt2, any hub id or a local folder", "auto", "NAME"),
    Option("layer", "the layer whose attention is replaced, counted from 0, or all", "0", "N"),
    Option("prompt", "the text both attentions are compared on", PROMPT_EXAMPLE, "TEXT"),
    Option("device", "auto, cpu, cuda, cuda:N", "auto", "DEVICE"),
    Option("report", "write the JSON report here", None, "PATH"),
    Option("html", "write a page to look at here: one file that opens offline", None, "FILE"),
    Option("plots", "write pictures (PNG and SVG) into this folder", None, "DIR"),
    Option(
        "format",
        f"write another grader's format: {', '.join(FORMAT_NAMES)}; may be given again, in an ini file one a line",
        None,
        "NAME:PATH",
        repeatable=True,
    ),
    Option("progress", "keep a learner's progress in this JSON file", None, "FILE"),
    Option("budget", "seconds the whole run may take", "90", "SECONDS"),
    Option("timeout", "seconds one call of the student's code may take", "10", "SECONDS"),
    Option("seed", "seed of the random inputs; drawn afresh, and noted in the report, when not given", None, "N"),
    Option("sandbox", "how the student's code is contained", "auto", "TIER", SANDBOX_TIERS),
    Option(
        "require_sandbox", "grade in no weaker sandbox than this", None, "TIER", REQUIRED_TIERS, bare=REQUIRED_TIERS[0]
    ),
    Option(
        "hints",
        "none (what failed), nudge (where to look), explain (the mistake named), fix (what to write)",
        "explain",
        "LEVEL",
        HINT_LEVELS,
    ),
    Option("title", "title of the page, such as a student's id; without it, the submission's path", None, "TEXT"),
)


def add_options(parser: pytest.Parser) -> None:
    """Register every option on the command line and in the ini file."""
    group = parser.getgroup("attn-grader", "grade a student's attention in a real transformer")
    for option in OPTIONS:
        default = "" if option.default is None else f" (default: {option.default})"
        # No argparse default: None must mean "not given here", so that environment and ini are asked next.
        bare: dict[str, Any] = {} if option.bare is None else {"nargs": "?", "const": option.bare}
        group.addoption(
            option.flag,
            action="append" if option.repeatable else "store",
            dest=option.dest,
            default=None,
            metavar=option.metavar,
            help=f"{option.help}{default}",
            **bare,
        )
        parser.addini(option.dest, option.help, default=None)
    parser.addini("attn_points", "points by category, one 'category = points' a line", type="linelist", default=[])
    parser.addini(
        "attn_forbid", "ready-made attention a submission may not call, one name a line", type="linelist", default=[]
    )
    parser.addini("attn_thresholds", "thresholds by metric, one 'metric = value' a line", type="linelist", default=[])


def read_option(
    config: pytest.Config, noun: str, environment: Mapping[str, str] = os.environ, *, early: bool = False
) -> tuple[str | None, str]:
    """The value of one option and where it came from, for messages.

    `early` asks before pytest has parsed its command line for good (while it looks for conftest files).
    """
    option = next(option for option in OPTIONS if option.noun == noun)
    namespace = config.known_args_namespace if early else config.option
    for value, source in (
        (getattr(namespace, option.dest, None), option.flag),
        (environment.get(option.environment_name), f"environment variable {option.environment_name}"),
        (config.getini(option.dest), f"ini option {option.dest}"),
    ):
        if value is not None:
            return "\n".join(value) if isinstance(value, list) else str(value), source
    return option.default, "default"
