"""What the user asked for: one frozen `Settings`, and one function that reads it.

Precedence: command line > environment > ini > default. Every option exists three times under one noun:
``--attn-model``, ``ATTN_MODEL`` and ini ``attn_model``. Values stay strings on the pytest side, because xdist sends
options to its workers and needs them serialisable.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from pytest_attn_grader.errors import UsageError

PROMPT_EXAMPLE = "The cat sat on the mat"
SANDBOX_TIERS = ("auto", "bwrap", "process", "none")
REQUIRED_TIERS = ("bwrap", "process")
HINT_LEVELS = ("none", "nudge", "explain", "fix")
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
        "loss_difference": 0.02,
        "relation_difference": 0.05,
        "slowdown": 50.0,
    }
)


ALL_LAYERS = "all"


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
    Option("model", "auto, mini, distilgpt2, any hub id or a local folder", "auto", "NAME"),
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
)


@dataclass(frozen=True)
class IniFile:
    """The ini file that pytest found.

    Attributes:
        path: from where pytest was started; None when there is none.
        left_out: the grader's options in a file that is not heeded.
    """

    path: str | None
    heeded: bool
    left_out: tuple[str, ...] = ()


INI_FILE_KEY: pytest.StashKey[IniFile] = pytest.StashKey()


@dataclass(frozen=True)
class Settings:
    """Everything a run depends on that the user decides."""

    student: str
    model: str = "auto"
    layer_idx: int = 0
    all_layers: bool = False
    prompt: str = PROMPT_EXAMPLE
    device: str = "auto"
    report: Path | None = None
    html: Path | None = None
    plots: Path | None = None
    formats: tuple[tuple[str, Path], ...] = ()
    progress: Path | None = None
    budget_seconds: float = 90.0
    timeout_seconds: float = 10.0
    seed: int = 0
    sandbox: str = "auto"
    require_sandbox: str | None = None
    hints: str = "explain"
    points: Mapping[str, float] = field(default_factory=lambda: DEFAULT_POINTS)
    thresholds: Mapping[str, float] = field(default_factory=lambda: DEFAULT_THRESHOLDS)
    forbid: tuple[str, ...] = ()
    invocation_dir: Path = field(default_factory=Path.cwd)
    ini: IniFile = IniFile(None, heeded=True)

    @property
    def layers_in_words(self) -> str:
        """Which layers get the student's attention."""
        return "all layers" if self.all_layers else f"layer {self.layer_idx}"

    def as_json(self) -> dict[str, Any]:
        """The settings as the report shows them (no path of this machine but the ones that were typed)."""
        return {
            "student": self.student,
            "model": self.model,
            "layer_idx": self.layer_idx,
            "all_layers": self.all_layers,
            "prompt": self.prompt,
            "device": self.device,
            "budget_seconds": self.budget_seconds,
            "timeout_seconds": self.timeout_seconds,
            "sandbox": self.sandbox,
            "require_sandbox": self.require_sandbox,
            "hints": self.hints,
            "points": dict(self.points),
            "thresholds": dict(self.thresholds),
            "forbid": list(self.forbid),
            "ini_file": self.ini.path if self.ini.heeded else None,
            "ini_file_not_heeded": None if self.ini.heeded else self.ini.path,
        }


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


def read_settings(config: pytest.Config, environment: Mapping[str, str] = os.environ) -> Settings | None:
    """Build the `Settings` of this run, or None when no student is given.

    Raises:
        UsageError: a value cannot be used; the message says which, where it came from and what to write instead.
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

    seed = read("seed", _not_negative_int, "a whole number from 0 to 2**63 - 1")
    paths = {noun: read(noun, _not_blank, "a path") for noun in ("report", "html", "plots", "progress")}
    formats = read("format", parse_formats, f"NAME:PATH with a name of {', '.join(FORMAT_NAMES)}") or ()
    prompt = read("prompt", _unicode, "text in UTF-8")
    if not prompt.strip():
        _, source = read_option(config, "prompt", environment)
        raise UsageError(f"{source} is empty. Give a sentence of at least two tokens, such as {PROMPT_EXAMPLE!r}.")
    invocation_dir = Path(config.invocation_params.dir)
    layer = read("layer", _layer, "a layer number, counted from 0, or all")
    return Settings(
        student=student.strip(),
        model=read("model", _not_blank, "a model: auto, mini, distilgpt2, a hub id or a folder"),
        # With all of them replaced, the first is the one that is looked at closely.
        layer_idx=0 if layer == ALL_LAYERS else layer,
        all_layers=layer == ALL_LAYERS,
        prompt=prompt,
        device=read("device", _not_blank, "auto, cpu, cuda or cuda:N"),
        **{noun: None if path is None else invocation_dir / path for noun, path in paths.items()},
        formats=tuple((name, invocation_dir / path) for name, path in formats),
        budget_seconds=read("budget", _positive_float, "a number of seconds above 0"),
        timeout_seconds=read("timeout", _positive_float, "a number of seconds above 0"),
        seed=_fresh_seed() if seed is None else seed,
        sandbox=read("sandbox", _one_of(SANDBOX_TIERS), f"one of {', '.join(SANDBOX_TIERS)}"),
        require_sandbox=read("require_sandbox", _one_of(REQUIRED_TIERS), f"one of {', '.join(REQUIRED_TIERS)}"),
        hints=read("hints", _one_of(HINT_LEVELS), f"one of {', '.join(HINT_LEVELS)}"),
        points=_read_table(config, "attn_points", DEFAULT_POINTS),
        thresholds=_read_table(config, "attn_thresholds", DEFAULT_THRESHOLDS),
        forbid=tuple(config.getini("attn_forbid")),
        invocation_dir=invocation_dir,
        ini=config.stash.get(INI_FILE_KEY, IniFile(None, heeded=True)),
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


def _fresh_seed() -> int:
    return int.from_bytes(os.urandom(4), "little")


def _not_blank(value: str) -> str:
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


def _unicode(value: str) -> str:
    # Bytes on the command line that are no UTF-8 come as lone surrogates, which no tokenizer takes.
    value.encode("utf-8")
    return value


def _not_negative_int(value: str) -> int:
    number = int(value)
    if not 0 <= number < 2**63:
        raise ValueError(value)
    return number


def _layer(value: str) -> int | str:
    return ALL_LAYERS if value.strip() == ALL_LAYERS else _not_negative_int(value)


def _positive_float(value: str) -> float:
    number = float(value)
    if not 0 < number < float("inf"):
        raise ValueError(value)
    return number


def _one_of(choices: tuple[str, ...]) -> Callable[[str], str]:
    def convert(value: str) -> str:
        if value not in choices:
            raise ValueError(value)
        return value

    return convert
