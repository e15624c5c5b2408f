"""How many submissions a minute a class takes, beside one `pytest` process for each.

    python -m tests.benchmarks.classroom --size 60 --repeats 3

All grade the same folders, one way after the other in turn: the class as many at a time as there are cores; the
processes one after another, as a loop in a shell would start them, and as many at a time as there are cores. A `pytest`
process is given its best conditions: bytecode that is compiled already, and the same report and page and nothing else
to write.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.classes import write_class

SEED = "8"


def main() -> None:
    """Measure, and print a line for each way and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=60, help="submissions in the class")
    parser.add_argument("--alone", type=int, default=20, help="of them graded by a process each, which takes long")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        write_class(place / "class", options.size)
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = str(place / "bytecode")
        _alone(place, environment, 2, options.processes)  # compiles
        ways: dict[str, Callable[[], float]] = {
            "a class": lambda: _together(place, environment, options.size, options.processes),
            "a process each, one at a time": lambda: _alone(place, environment, options.alone, 1),
            "a process each, side by side": lambda: _alone(place, environment, options.alone, options.processes),
        }
        rates: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(options.repeats):
            for way, measure in ways.items():
                rates[way].append(measure())
        for way, found in rates.items():
            print(f"{way}: {statistics.median(found):.1f} submissions a minute ({min(found):.1f} to {max(found):.1f})")
        for way in list(ways)[1:]:
            ratios = [one / other for one, other in zip(rates["a class"], rates[way], strict=True)]
            print(f"a class / {way}: {statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})")


def _together(place: Path, environment: dict[str, str], size: int, processes: int) -> float:
    """Submissions a minute of one command, from its start to its gradebook."""
    out = place / f"out{time.monotonic_ns()}"
    command = [sys.executable, "-m", "pytest_attn_grader.cli.app", "grade", str(place / "class"), "--out", str(out)]
    command += ["--model=mini", "--device=cpu", "--seed", SEED, "--quiet", "--processes", str(processes)]
    started = time.monotonic()
    subprocess.run(command, cwd=place, env=environment, check=True, stdout=subprocess.DEVNULL)
    return 60 * size / (time.monotonic() - started)


def _alone(place: Path, environment: dict[str, str], size: int, processes: int) -> float:
    """Submissions a minute of as many `pytest` processes side by side, each for one submission."""
    folders = sorted((place / "class").iterdir())[:size]

    def grade(folder: Path) -> None:
        written = place / "alone" / folder.name
        options = ["--attn-model=mini", "--attn-device=cpu", f"--attn-seed={SEED}", "-q", "-p", "no:cacheprovider"]
        options += [f"--attn-student={folder / 'attention.py'}"]
        options += [f"--attn-report={written}.json", f"--attn-html={written}.html"]
        subprocess.run(
            [sys.executable, "-m", "pytest", *options],
            cwd=place,
            env=environment,
            check=False,
            stdout=subprocess.DEVNULL,
        )

    (place / "alone").mkdir(exist_ok=True)
    started = time.monotonic()
    with ThreadPoolExecutor(processes) as pool:
        list(pool.map(grade, folders))
    return 60 * len(folders) / (time.monotonic() - started)


if __name__ == "__main__":
    main()
