"""The command: `python -m tests.benchmarks`. Prints what it finds, line by line, and writes it as JSON."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks import machine
from tests.benchmarks.parts import PARTS, Options
from tests.benchmarks.subjects import MODELS

USUAL_PARTS = ("runs", "memory", "plugin")
USUAL_MODELS = ("mini", "distilgpt2-size")
# mini takes 256 tokens.
USUAL_LENGTHS = (6, 32, 64, 128, 256)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for.

    Returns:
        The exit code, 0.
    """
    options = _parser().parse_args(arguments)
    described = machine.describe()
    print(machine.in_words(described), flush=True)
    document = {"machine": described, "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "repeats": options.repeats}
    with tempfile.TemporaryDirectory() as own:
        asked = Options(
            models=tuple(options.models),
            repeats=options.repeats,
            lengths=tuple(options.lengths),
            class_sizes=tuple(options.class_sizes),
            workspace=(options.workspace or Path(own)).resolve(),
        )
        for name in options.parts:
            outcome = PARTS[name](asked)
            document[name] = outcome.data
            print("\n".join(outcome.lines), flush=True)
            if options.json is not None:
                # After each part: an interruption costs one of them.
                options.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=tuple(PARTS), default=USUAL_PARTS, help="what is measured")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=USUAL_MODELS)
    parser.add_argument("--repeats", type=_above_zero, default=7, help="rounds, beside one that is not counted")
    parser.add_argument(
        "--lengths", type=_above_zero, nargs="+", default=USUAL_LENGTHS, help="of the prompt, in tokens"
    )
    parser.add_argument("--class-sizes", type=_above_zero, nargs="+", default=(10, 100), help="submissions")
    parser.add_argument("--json", type=Path, help="write everything here")
    parser.add_argument("--workspace", type=Path, help="keep checkpoints here, for the next time")
    return parser


def _above_zero(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is below 1")
    return value


if __name__ == "__main__":
    sys.exit(main())
