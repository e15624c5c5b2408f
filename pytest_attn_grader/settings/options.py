"""The options, each under one noun in three places: ``--attn-model``, ``ATTN_MODEL`` and ini ``attn_model``.

Every pytest run imports this module: standard library only, and no class that takes time to build. Values stay strings
on pytest's side, because xdist sends options to its workers and needs them serialisable.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pytest

PROMPT_EXAMPLE = "The cat sat on the mat"
SANDBOX_TIERS = ("auto", "bwrap", "process", "none")
REQUIRED_TIERS = ("bwrap", "process")
MASK_CONVENTIONS = ("auto", "keep", "additive", "blocked")
HINT_LEVELS = ("none", "nudge", "explain", "fix")
ALL_LAYERS = "all"
FORMAT_NAMES = ("gradescope", "github", "github-annotations", "classroom", "prairielearn", "exercism")

DEFAULT_POINTS: Mapping[str, float] = MappingProxyType(
    {
        "contract": 5.0,
        "shape": 10.0,
        "weights": 10.0,
        "masking": 20.0,
        "equivalence": 20.0,
        "gradients": 15.0,
        "purity": 5.0,
        "similarity": 4.0,
        "behaviour": 4.0,
        "coherence": 2.0,
        "budget": 5.0,
        "custom": 0.0,
    }
)

DEFAULT_THRESHOLDS: Mapping[str, float] = MappingProxyType(
    {
        "cosine": 0.99,
        "jensen_shannon": 0.01,
        "earth_movers": 0.05,
        "argmax_agreement": 0.95,
        "entropy_difference": 0.05,
        "kl_divergence": 0.01,
        "top_k_agreement": 0.9,
        "loss_share": 0.001,
        "relation_difference": 0.05,
        "slowdown": 50.0,
    }
)


class Option(NamedTuple):
    """One option under one noun, on the command line, in the environment and in the ini file.

    Attributes:
        bare: the value when the option is typed without one; None when it needs a value.
        repeatable: whether the option may be given several times.
    """

    noun: str
    help: str
    default: str | None = None
    metavar: str = "VALUE"
    choices: tuple[str, ...] | None = None
    bare: str | None = None
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
        "student",
        "grade this submission: a module (pkg.module) or a file (path.py), optionally with :NAME",
        None,
        "TARGET",
    ),
    Option(
        "model",
        "model to grade in: auto, mini, mini-llama, smollm2, distilgpt2, a hub id or a local folder",
        "auto",
        "NAME",
    ),
    Option("layer", "layer whose attention is replaced, counted from 0, or all", "0", "N"),
    Option("prompt", "text on which both attentions are compared", PROMPT_EXAMPLE, "TEXT"),
    Option("device", "device that the model runs on: auto, cpu, cuda, cuda:N", "auto", "DEVICE"),
    Option("report", "write the JSON report to this file", None, "PATH"),
    Option("html", "write an HTML page to this file; it opens offline", None, "FILE"),
    Option("plots", "write plots (PNG and SVG) into this folder", None, "DIR"),
    Option(
        "format",
        f"write the results in another format: {', '.join(FORMAT_NAMES)}; repeatable, in an ini file one per line",
        None,
        "NAME:PATH",
        repeatable=True,
    ),
    Option("progress", "record the learner's progress in this JSON file", None, "FILE"),
    Option("budget", "time limit of the whole run", "90", "SECONDS"),
    Option("timeout", "time limit of one call of the student's code", "10", "SECONDS"),
    Option("seed", "seed of the random inputs; a new one is drawn for each run by default, and reported", None, "N"),
    Option("sandbox", "sandbox for the student's code: auto, bwrap, process or none", "auto", "TIER", SANDBOX_TIERS),
    Option(
        "mask",
        "what a mask means: keep (True = may attend), additive (0 and very negative), blocked (True = may not); auto "
        "takes what the file says, else keep, else additive where that is right",
        "auto",
        "CONVENTION",
        MASK_CONVENTIONS,
    ),
    Option(
        "require_sandbox",
        "refuse to grade in a weaker sandbox than this",
        None,
        "TIER",
        REQUIRED_TIERS,
        bare=REQUIRED_TIERS[0],
    ),
    Option(
        "hints",
        "how much help to print: none, nudge (where to look), explain (names the mistake), fix (what to write)",
        "explain",
        "LEVEL",
        HINT_LEVELS,
    ),
    Option("title", "title of the page, such as a student's id; without it, the submission's path", None, "TEXT"),
    Option(
        "catalogue",
        "address where the pages of `attn-grader explain --html` have been published; reports link to them",
        None,
        "URL",
    ),
)
OPTION_BY_NOUN: Mapping[str, Option] = {option.noun: option for option in OPTIONS}
# What an ini file has as a list, with the form of one line and what it is.
INI_LISTS: Mapping[str, tuple[str, str]] = {
    "points": ("CATEGORY=NUMBER", "points per category"),
    "thresholds": ("METRIC=NUMBER", "thresholds of the similarity checks"),
    "forbid": ("NAME", "library attention that a submission may not call"),
}


def add_options(parser: pytest.Parser) -> None:
    """Register every option on the command line and in the ini file."""
    group = parser.getgroup("attn-grader", "grade a student's attention in a real transformer")
    for option in OPTIONS:
        default = "" if option.default is None else f" (default: {option.default})"
        # No argparse default: None must mean "not typed", so that environment and ini file are read next.
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
    for name, (line, help_text) in INI_LISTS.items():
        parser.addini(f"attn_{name}", f"{help_text}, one {line} per line", type="linelist", default=[])


def read_option(
    config: pytest.Config, noun: str, environment: Mapping[str, str] = os.environ, *, early: bool = False
) -> tuple[str | None, str]:
    """Get the value of one option, and its source for messages.

    Args:
        early: read the options that pytest knows before it has loaded conftest files.
    """
    option = OPTION_BY_NOUN[noun]
    namespace = config.known_args_namespace if early else config.option
    for value, source in (
        (getattr(namespace, option.dest, None), option.flag),
        (environment.get(option.environment_name), f"environment variable {option.environment_name}"),
        (config.getini(option.dest), f"ini option {option.dest}"),
    ):
        if value is not None:
            return "\n".join(value) if isinstance(value, list) else str(value), source
    return option.default, "default"
