"""The grader graded: every submission of the corpus, accepted or rejected, diagnosed rightly, wrongly or not at all.

    python -m tests.misconceptions.confusion [--processes N] [--seed N] [--write]

Prints the table of the guide to the checks (`--write` puts it there), and every submission whose result is not the one
in its first line.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from pytest_attn_grader._utils import fork_cache
from tests.misconceptions.grading import Bench, Graded, corpus, is_as_expected

GUIDE = Path(__file__).parents[2] / ".github" / "docs" / "checks.md"
BEGIN, END = "<!-- begin: confusion table -->\n", "<!-- end: confusion table -->\n"
GROUPS = {"correct": "correct", "single": "one mistake", "double": "two mistakes"}


def group_of(graded: Graded) -> str:
    return ("correct", "single", "double")[min(len(graded.expected), 2)]


def grade_corpus(files: Sequence[Path], *, processes: int, seed: int) -> list[Graded]:
    """Grade every file, shared out among worker processes."""
    shares = [(files[start::processes], seed) for start in range(processes)]
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes) as pool:
        graded = [result for share in pool.imap_unordered(_grade_share, shares) for result in share]
    return sorted(graded, key=lambda each: each.name)


def _grade_share(share: tuple[Sequence[Path], int]) -> list[Graded]:
    files, seed = share
    torch.set_num_threads(1)
    # As in a class: references, tolerances and the catalogue's answers are worked out once in each process.
    fork_cache.enable()
    with Bench(seed) as bench:
        return [bench.grade(file) for file in files]


def render_table(graded: Iterable[Graded]) -> str:
    """The confusion table in Markdown."""
    results = list(graded)
    lines = [
        "| submissions | number | accepted | rejected | named rightly | named wrongly | not named |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for group, title in GROUPS.items():
        members = [result for result in results if group_of(result) == group]
        outcomes = Counter(result.outcome for result in members)
        accepted = sum(result.accepted for result in members)
        counts = (
            len(members),
            accepted,
            len(members) - accepted,
            outcomes["right"],
            outcomes["wrong"],
            outcomes["none"],
        )
        lines.append(f"| {title} | {' | '.join(map(str, counts))} |")
    return "\n".join(lines)


def write_table(table: str, guide: Path = GUIDE) -> None:
    """Put the table between its marks.

    Raises:
        ValueError: the file has no marks.
    """
    before, begin, rest = guide.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{guide.name}: no place for the table; it stands between {BEGIN.strip()} and {END.strip()}")
    guide.write_text(f"{before}{begin}\n{table}\n\n{end}{after}", encoding="utf-8")


def render_surprises(graded: Iterable[Graded]) -> str:
    lines = []
    for result in graded:
        if is_as_expected(result):
            continue
        wanted = " + ".join(result.expected) or "correct"
        verdict = "accepted" if result.accepted else f"rejected ({result.problem})"
        lines.append(f"{result.name}: expected {wanted}; {verdict}")
        if result.diagnosis is not None:
            lines.append(f"    {result.diagnosis.slugs} ~ {result.diagnosis.look_alikes}: {result.diagnosis.message}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="print the confusion table of the corpus")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=20240)
    parser.add_argument("--write", action="store_true", help="put the table into the guide to the checks")
    parser.add_argument("files", nargs="*", type=Path, help="only these files of the corpus")
    options = parser.parse_args(arguments)
    started = time.perf_counter()
    files = [file.resolve() for file in options.files] or corpus()
    graded = grade_corpus(files, processes=options.processes, seed=options.seed)
    table = render_table(graded)
    print(table)
    print()
    if options.write:
        write_table(table)
    print(render_surprises(graded) or "Every submission came out as its first line says.")
    slowest = max(graded, key=lambda result: result.diagnosis_seconds)
    print(
        f"\n{len(graded)} submissions in {time.perf_counter() - started:.0f} s with {options.processes} processes; "
        f"slowest diagnosis {slowest.diagnosis_seconds:.1f} s ({slowest.name})"
    )
    return 0 if all(map(is_as_expected, graded)) else 1


if __name__ == "__main__":
    sys.exit(main())
