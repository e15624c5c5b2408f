"""The command: `python -m tests.real NAME` proves a model, `python -m tests.real gpu` measures on a GPU."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from tests.benchmarks import machine
from tests.real.losses import ALL


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for; the exit code is 1 where something is not as it must be."""
    options = _parser().parse_args(arguments)
    print(machine.in_words(machine.describe()), flush=True)
    started = time.monotonic()

    def say(line: str) -> None:
        print(line, flush=True)

    if options.model == "gpu":
        from tests.real.gpu import measure_devices

        good = measure_devices(small=options.small, say=say)
    else:
        from tests.real.proof import prove

        good = prove(options.model, layers=options.layers, mistakes=options.mistakes, say=say)
    say(f"{time.monotonic() - started:.0f} seconds; {'everything as it must be' if good else 'NOT as it must be'}")
    return 0 if good else 1


def _layer(text: str) -> int | str:
    return text if text == ALL else int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.real", description=__doc__)
    parser.add_argument("model", help="distilgpt2, smollm2, mini, any other value of --attn-model, or gpu")
    parser.add_argument("--layers", type=_layer, nargs="+", help="layers in which losses are measured: numbers, or all")
    parser.add_argument("--mistakes", type=int, help="how many wrong submissions are graded in whole runs")
    parser.add_argument("--small", action="store_true", help="with gpu: small models, to try the command itself")
    return parser


if __name__ == "__main__":
    sys.exit(main())
