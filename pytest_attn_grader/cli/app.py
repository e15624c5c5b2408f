"""`attn-grader`: what is done with reports and catalogues beside a pytest run."""

from __future__ import annotations

from pathlib import Path

import typer

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Tools around pytest --attn-student.")


@app.callback()
def main() -> None:
    """Tools around `pytest --attn-student`."""


@app.command()
def schema(of: str = typer.Option("report", "--of", help="report, progress or assessment")) -> None:
    """Print the JSON Schema of the report, of a learner's progress, or of an assessment."""
    from pytest_attn_grader.reports.schema import SCHEMAS, schema_text

    if of not in SCHEMAS:
        typer.echo(f"There is no schema of {of!r}. There are {', '.join(SCHEMAS)}.", err=True)
        raise typer.Exit(2)
    typer.echo(schema_text(of))


@app.command()
def convert(
    report: Path = typer.Argument(..., help="What --attn-report has written."),  # noqa: B008  # typer's way
    to: str = typer.Option(..., "--to", metavar="NAME", help="A format, as in --attn-format=NAME:PATH."),
    out: Path | None = typer.Option(None, "--out", metavar="PATH", help="The file; without it, the standard output."),  # noqa: B008
) -> None:
    """Turn a report into what another grader reads: gradescope, github, classroom, prairielearn, exercism …"""
    from pytest_attn_grader.errors import UsageError
    from pytest_attn_grader.reports.formats import find_format
    from pytest_attn_grader.reports.formats.files import write_format
    from pytest_attn_grader.reports.json_report import load_report

    try:
        chosen, loaded = find_format(to), load_report(report)
        if out is None:
            typer.echo(chosen.render(loaded), nl=False)
        else:
            write_format(loaded, chosen, out)
    except (UsageError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error


@app.command()
def init(
    folder: Path = typer.Argument(..., metavar="DIR", help="A new folder, or one without these files."),  # noqa: B008
    grader: str = typer.Option("", "--grader", help="The requirement that installs the grader; default: this version."),
) -> None:
    """Write a repository for students: a starter, and a workflow that grades every pull request."""
    from pytest_attn_grader.cli.init import write_repository
    from pytest_attn_grader.errors import UsageError

    try:
        for path in write_repository(folder, grader=grader):
            typer.echo(path)
    except (UsageError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error


@app.command("gradescope-zip")
def gradescope_zip(
    out: Path = typer.Option(..., "--out", metavar="FILE", help="The archive."),  # noqa: B008
    student: str = typer.Option("my_attention.py", "--student", help="The file that students upload."),
    model: str = typer.Option("mini", "--model", help="As --attn-model; mini needs no download."),
    grader: str = typer.Option("", "--grader", help="The requirement that installs the grader; default: this version."),
    wheel: Path | None = typer.Option(None, "--wheel", help="A wheel of the grader to put in and install."),  # noqa: B008
) -> None:
    """Write the archive that Gradescope runs: upload it as the autograder, with a container of 1.5 GB or more."""
    from pytest_attn_grader.cli.init import build_autograder
    from pytest_attn_grader.errors import UsageError

    try:
        build_autograder(out, student=student, model=model, grader=grader, wheel=wheel)
    except (UsageError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    typer.echo(f"{out}: choose a container of 1.5 GB or more; a submission takes about 10 seconds of one processor")


@app.command()
def explain(
    name: str = typer.Argument("", metavar="[ID]", help="An id or a slug, AG801 or dropout-eval; none lists all."),
) -> None:
    """Explain a mistake that the grader knows: what it is, why it matters, wrong and right code."""
    from pytest_attn_grader.errors import UsageError
    from pytest_attn_grader.misconceptions import MISCONCEPTIONS
    from pytest_attn_grader.misconceptions import explain as explain_misconception

    if not name:
        for known in MISCONCEPTIONS:
            typer.echo(f"{known.id}  {known.slug:<24} {known.title}")
        return
    try:
        typer.echo(explain_misconception(name))
    except UsageError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error


@app.command()
def version() -> None:
    """Print the version of this package."""
    from pytest_attn_grader import __version__

    typer.echo(__version__)


@app.command()
def grade(
    submissions: list[str] = typer.Argument(None, help="Files, folders, globs or zip files."),  # noqa: B008
    out: Path = typer.Option(..., "--out", help="Folder for reports, pages, logs and the gradebook."),  # noqa: B008
    roster: Path = typer.Option(None, "--roster", help="CSV with the columns id, path and, if wanted, name."),  # noqa: B008
    model: str = typer.Option("auto", "--model", help="As --attn-model."),
    device: str = typer.Option("auto", "--device", help="As --attn-device."),
    seed: int = typer.Option(None, "--seed", help="As --attn-seed, for all alike; drawn afresh when not given."),
    budget: float = typer.Option(90.0, "--budget", help="Seconds for one submission, as --attn-budget."),
    processes: int = typer.Option(0, "--processes", help="How many at a time; 0 is one for each core."),
    scheduler: str = typer.Option("", "--scheduler", metavar="ADDRESS", help="Grade on the Dask cluster there."),
    resume: bool = typer.Option(False, "--resume", help="Leave out what was graded before and has not changed."),
    pages: bool = typer.Option(True, "--pages/--no-pages", help="A page to look at for each."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Only the last line."),
    option: list[str] = typer.Option((), "--option", help="One more option for pytest; may be repeated."),  # noqa: B008
) -> None:
    """Grade a class, and write a gradebook: each submission by the run of pytest that its author would start."""
    from pytest_attn_grader.cli.grade.command import grade as grade_command
    from pytest_attn_grader.errors import UsageError

    try:
        code = grade_command(
            submissions or [],
            out=out,
            roster=roster,
            model=model,
            device=device,
            seed=seed,
            budget_seconds=budget,
            processes=processes,
            scheduler=scheduler,
            resume=resume,
            pages=pages,
            quiet=quiet,
            options=tuple(option),
        )
    except UsageError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    raise typer.Exit(code)


@app.command()
def gradebook(folder: Path = typer.Argument(..., help="What was --out of attn-grader grade.")) -> None:  # noqa: B008
    """Write gradebook.csv and gradebook.html from the reports in a folder."""
    from pytest_attn_grader.cli.grade.gradebook import CSV_FILE, PAGE_FILE, write_gradebook
    from pytest_attn_grader.errors import UsageError

    try:
        rows = write_gradebook(folder)
    except (UsageError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    typer.echo(f"{len(rows)} submissions in {folder / CSV_FILE} and {folder / PAGE_FILE}")


@app.command()
def assess(
    reports: list[Path] = typer.Argument(..., metavar="REPORT…", help="What --attn-report or grade has written."),  # noqa: B008
    llm_model: str = typer.Option("", "--llm-model", envvar="ATTN_LLM_MODEL", help="The model to ask."),
    source: Path | None = typer.Option(  # noqa: B008
        None, "--source", help="The submission's file, or the folder of submissions; default: where the report says."
    ),
    no_source: bool = typer.Option(False, "--no-source", help="Send the evaluation alone."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Print what would be sent, and send nothing."),
    again: bool = typer.Option(False, "--again", help="Ask also about what has been assessed in the same way."),
    parallel: int = typer.Option(1, "--parallel", min=1, help="Reports at a time."),
    tries: int = typer.Option(4, "--tries", help="Requests for one report, where an answer cannot be used."),
    timeout: float = typer.Option(120.0, "--timeout", help="Seconds for one answer."),
    limit: float = typer.Option(600.0, "--limit", help="Seconds for one report, all tries and waits together."),
) -> None:
    """Let a language model put reports into words (NAME.assessment.json); points stay the checks'.

    Any OpenAI-compatible endpoint will do: its address is in OPENAI_BASE_URL, its key in OPENAI_API_KEY.
    """
    from pytest_attn_grader.cli.assess.command import AssessOptions
    from pytest_attn_grader.cli.assess.command import assess as assess_command
    from pytest_attn_grader.cli.assess.retries import Limits
    from pytest_attn_grader.errors import UsageError

    try:
        wanted = AssessOptions(
            model=llm_model or None,
            source=source,
            with_source=not no_source,
            again=again,
            parallel=parallel,
            limits=Limits(tries=tries, answer_seconds=timeout, total_seconds=limit),
        )
        code = assess_command(
            reports,
            wanted,
            dry_run=dry_run,
            write_line=typer.echo,
            write_error=lambda line: typer.echo(line, err=True),
        )
    except UsageError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    raise typer.Exit(code)


@app.command()
def demo(
    out: Path = typer.Option(..., "--out", help="Folder for reports, pages and pictures."),  # noqa: B008  # typer's way
    model: str = typer.Option("auto", "--model", help="As --attn-model."),
) -> None:
    """Lead through the whole, each step with what it proves and what was measured; fails when one is not as claimed."""
    from pytest_attn_grader.cli.demo import run_demo
    from pytest_attn_grader.errors import UngradableError

    try:
        as_claimed = run_demo(out, model=model, write_line=typer.echo)
    except (UngradableError, OSError) as error:
        typer.echo(f"The demonstration could not go on: {error}", err=True)
        raise typer.Exit(2) from error
    raise typer.Exit(0 if as_claimed else 1)


if __name__ == "__main__":
    app()
