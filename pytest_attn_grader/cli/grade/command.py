"""The commands `attn-grader grade` and `attn-grader gradebook`: their options, the progress bar, the last line."""

from __future__ import annotations

from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pytest_attn_grader.cli.error_exit import EXIT_INTERRUPTED, exit_on_error
from pytest_attn_grader.cli.grade.class_list import read_class_list
from pytest_attn_grader.cli.grade.run_options import pytest_arguments, read_run_settings, with_run_options
from pytest_attn_grader.errors import EXIT_UNGRADABLE, UsageError
from pytest_attn_grader.settings.reading import draw_seed

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from pytest_attn_grader.cli.grade.runners import Outcome

MAX_LINE_CHARACTERS = 1000


@with_run_options
@exit_on_error
def grade(
    submissions: Annotated[list[str] | None, typer.Argument(help="Files, folders, glob patterns or zip files.")] = None,
    *,
    out: Annotated[Path, typer.Option(help="Folder for reports, pages, logs and the gradebook.")],
    roster: Annotated[Path | None, typer.Option(help="CSV file: a column of ids, optionally paths and names.")] = None,
    name: Annotated[str | None, typer.Option(help="The function or class to grade in every submission.")] = None,
    processes: Annotated[
        int, typer.Option(min=0, help="Number of submissions graded at the same time. 0: one for each core.")
    ] = 0,
    scheduler: Annotated[str, typer.Option(metavar="ADDRESS", help="Grade on a Dask cluster.")] = "",
    resume: Annotated[bool, typer.Option("--resume", help="Skip submissions that are graded and unchanged.")] = False,
    pages: Annotated[bool, typer.Option("--pages/--no-pages", help="Write an HTML page for each submission.")] = True,
    plots: Annotated[bool, typer.Option("--plots", help="Write pictures (PNG and SVG) for each submission.")] = False,
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", metavar="NAME", help="Also write this format for each submission. May be repeated."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only the last line.")] = False,
    option: Annotated[list[str] | None, typer.Option(help="A further option for pytest. May be repeated.")] = None,
    **run_options: str | list[str] | None,
) -> None:
    """Grade a class: one report and page for each submission, and one gradebook.

    Each submission is graded as by pytest --attn-student=FILE. Exit code 10 when a submission is ungradable.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from pytest_attn_grader.cli.grade.discovery import find_submissions
    from pytest_attn_grader.cli.grade.grade import ClassSettings, default_processes, grade_class
    from pytest_attn_grader.cli.grade.gradebook import CSV_FILE, PAGE_FILE, write_gradebook
    from pytest_attn_grader.reports.escaping import for_log, for_terminal
    from pytest_attn_grader.reports.formats import find_format
    from pytest_attn_grader.sandbox.grader_process import protect_grader

    protect_grader()  # the gradebook is written here

    for each in formats or ():
        find_format(each)
    if name is not None and not name.isidentifier():
        raise UsageError(f"--name {name}: this is not a Python name. Write --name attention.")
    arguments = pytest_arguments(run_options, option or ())
    run_settings, seed = read_run_settings(arguments)
    out = out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    found = find_submissions(submissions or (), roster=roster, name=name, unpack_into=out / "unpacked")
    settings = ClassSettings(
        model=run_settings.model,
        device=run_settings.device,
        seed=_resolve_seed(out, seed, resume=resume),
        budget_seconds=run_settings.budget_seconds,
        folder=Path.cwd(),
        options=arguments,
        run_settings=run_settings.as_json(),
        pages=pages,
        plots=plots,
        formats=tuple(dict.fromkeys(formats or ())),
    )
    counts: Counter[str] = Counter()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[counts]}"),
    )
    with Progress(*columns, console=Console(stderr=True, quiet=quiet), disable=quiet) as progress:
        task = progress.add_task("grading", total=len(found), counts="")

        def show_outcome(outcome: Outcome, graded_now: bool) -> None:
            counts[outcome.verdict] += 1
            counts["already graded"] += not graded_now and outcome.verdict != "ungradable"
            progress.update(task, advance=1, counts=_format_counts(counts))
            if outcome.verdict == "ungradable":
                line = for_terminal(f"{outcome.id}: ungradable: {outcome.reason}", MAX_LINE_CHARACTERS)
                progress.console.print(for_log(line), markup=False, highlight=False)

        try:
            with _executor(scheduler, out) as executor:
                grade_class(
                    found,
                    settings,
                    out,
                    processes=processes or default_processes(),
                    resume=resume,
                    executor=executor,
                    on_outcome=show_outcome,
                )
        except KeyboardInterrupt:
            progress.stop()
            typer.echo(f"interrupted after {_format_counts(counts)}; continue with --resume")
            raise typer.Exit(EXIT_INTERRUPTED) from None
    write_gradebook(out)
    typer.echo(f"{len(found)} submissions: {_format_counts(counts)}. See {out / PAGE_FILE} and {CSV_FILE} beside it.")
    raise typer.Exit(EXIT_UNGRADABLE if counts["ungradable"] else 0)


@exit_on_error
def gradebook(folder: Annotated[Path, typer.Argument(help="The --out folder of attn-grader grade.")]) -> None:
    """Write gradebook.csv and gradebook.html from the reports in a folder."""
    from pytest_attn_grader.cli.grade.gradebook import CSV_FILE, PAGE_FILE, write_gradebook

    rows = write_gradebook(folder)
    typer.echo(f"{len(rows)} submissions in {folder / CSV_FILE} and {folder / PAGE_FILE}")


def _executor(scheduler: str, out: Path) -> AbstractContextManager[Executor | None]:
    from pytest_attn_grader.cli.grade.dask import dask_executor

    return dask_executor(scheduler, shared=out) if scheduler else nullcontext()


def _format_counts(counts: Counter[str]) -> str:
    return ", ".join(
        f"{counts[name]} {name}" for name in ("passed", "failed", "ungradable", "already graded") if counts[name]
    )


def _resolve_seed(out: Path, seed: int | None, *, resume: bool) -> int:
    """One seed for the whole class, so that results are comparable; a resumed run uses the seed it started with."""
    if seed is None and resume and (before := read_class_list(out)) is not None:
        return before.seed
    return draw_seed() if seed is None else seed
