"""`attn-grader grade`: what is typed, what is shown while it goes on, and the last lines."""

from __future__ import annotations

import json
import os
from collections import Counter
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pytest_attn_grader.cli.grade.dask import connected
from pytest_attn_grader.cli.grade.grade import ClassSettings, default_processes, grade_class
from pytest_attn_grader.cli.grade.gradebook import CSV_FILE, PAGE_FILE, write_gradebook
from pytest_attn_grader.cli.grade.runners import Outcome
from pytest_attn_grader.cli.grade.submissions import find_submissions
from pytest_attn_grader.errors import EXIT_UNGRADABLE, UsageError

EXIT_INTERRUPTED = 130
SEED_FILE = "seed.json"


def grade(
    sources: list[str],
    *,
    out: Path,
    roster: Path | None,
    model: str,
    device: str,
    seed: int | None,
    budget_seconds: float,
    processes: int,
    scheduler: str,
    resume: bool,
    pages: bool,
    quiet: bool,
    options: tuple[str, ...],
) -> int:
    """Grade a class and return the exit code: 0, or 10 when some submissions could not be graded.

    Raises:
        UsageError: nothing to grade, or a value that cannot be used.
    """
    out = out.resolve()
    submissions = find_submissions(sources, roster=roster, unpack_into=out / "unpacked")
    settings = ClassSettings(
        model=model,
        device=device,
        seed=_seed_of(out, seed, resume=resume),
        budget_seconds=budget_seconds,
        folder=Path.cwd(),
        options=options,
        pages=pages,
    )
    console = Console(stderr=True, quiet=quiet)
    tally: Counter[str] = Counter()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[tally]}"),
    )
    with Progress(*columns, console=console, disable=quiet) as progress:
        task = progress.add_task("grading", total=len(submissions), tally="")

        def tell(outcome: Outcome, graded_now: bool) -> None:
            tally[outcome.verdict] += 1
            tally["already graded"] += not graded_now
            progress.update(task, advance=1, tally=_said(tally))
            if outcome.verdict == "ungradable":
                progress.console.print(f"{outcome.id}: ungradable: {outcome.reason}", markup=False, highlight=False)

        try:
            with _place(scheduler, out) as executor:
                grade_class(
                    submissions,
                    settings,
                    out,
                    processes=processes or default_processes(),
                    resume=resume,
                    executor=executor,
                    tell=tell,
                )
        except KeyboardInterrupt:
            progress.stop()
            print(f"interrupted after {_said(tally)}; --resume goes on from there")
            return EXIT_INTERRUPTED
    write_gradebook(out)
    print(f"{len(submissions)} submissions: {_said(tally)}. Look at {out / PAGE_FILE}; {CSV_FILE} is beside it.")
    return EXIT_UNGRADABLE if tally["ungradable"] else 0


def _place(scheduler: str, out: Path) -> AbstractContextManager[Executor | None]:
    return connected(scheduler, shared=out) if scheduler else nullcontext()


def _said(tally: Counter[str]) -> str:
    return ", ".join(
        f"{tally[name]} {name}" for name in ("passed", "failed", "ungradable", "already graded") if tally[name]
    )


def _seed_of(out: Path, seed: int | None, *, resume: bool) -> int:
    """One seed for all, so that they can be compared; a run that goes on takes the seed it began with."""
    out.mkdir(parents=True, exist_ok=True)
    file = out / SEED_FILE
    if seed is None and resume and file.exists():
        try:
            return int(json.loads(file.read_text(encoding="utf-8"))["seed"])
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{file} cannot be read ({error}). Delete it, or give --seed.") from error
    if seed is None:
        seed = int.from_bytes(os.urandom(4), "little")
    file.write_text(json.dumps({"seed": seed}) + "\n", encoding="utf-8")
    return seed
