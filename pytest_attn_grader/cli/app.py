"""The `attn-grader` command: grade a class, convert reports, explain mistakes, write course files."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from pytest_attn_grader._utils.output_streams import require_written_output, tolerate_lost_output
from pytest_attn_grader.cli.assess.command import assess
from pytest_attn_grader.cli.error_exit import EXIT_USAGE, exit_on_error
from pytest_attn_grader.cli.grade.command import grade, gradebook
from pytest_attn_grader.cli.watch.command import watch

GraderRequirement = Annotated[
    str, typer.Option("--grader", help="The pip requirement that installs the grader. Default: this version.")
]

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def main() -> None:
    """Grade classes and work with reports. To grade one submission, run pytest --attn-student=FILE."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character gets its escape code.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


app.command(epilog="Example: attn-grader grade week3/ --out graded")(grade)
app.command(epilog="Example: attn-grader gradebook graded")(gradebook)
app.command(epilog="Example: attn-grader watch my_attention.py")(watch)
app.command(epilog="Example: attn-grader assess graded/reports/*.json --llm-model my-model")(assess)


@app.command(epilog="Example: attn-grader convert report.json --to gradescope --out results.json")
@exit_on_error
def convert(
    report: Annotated[Path, typer.Argument(help="A report that --attn-report has written.")],
    to: Annotated[str, typer.Option("--to", metavar="NAME", help="A format, as in --attn-format=NAME:PATH.")],
    out: Annotated[Path | None, typer.Option(metavar="PATH", help="The file to write. Default: stdout.")] = None,
) -> None:
    """Convert a report to another grader's format: gradescope, github, classroom, prairielearn, exercism and others."""
    from pytest_attn_grader.reports.formats import find_format
    from pytest_attn_grader.reports.formats.files import write_format
    from pytest_attn_grader.reports.json_report import load_report

    chosen, loaded = find_format(to), load_report(report)
    if out is None:
        # Bytes: a document is UTF-8, whatever the encoding of the terminal.
        typer.echo(chosen.render(loaded).encode(), nl=False)
        require_written_output()
    else:
        write_format(loaded, chosen, out)


@app.command(epilog="Example: attn-grader explain no-scale")
@exit_on_error
def explain(
    name: Annotated[
        str, typer.Argument(metavar="[ID]", help="An id or a slug, such as AG801 or dropout-eval. Default: list all.")
    ] = "",
    html: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write all mistakes as static pages, with measurements.")
    ] = None,
    model: Annotated[str, typer.Option(help="The model that --html measures in, as for --attn-model.")] = "mini",
) -> None:
    """Explain a mistake that the grader recognizes: what it is, why it matters, wrong and right code."""
    if html is not None:
        from pytest_attn_grader.cli.explain.site import write_catalogue

        write_catalogue(html, model, write_line=typer.echo)
        return
    from pytest_attn_grader.misconceptions import MISCONCEPTIONS
    from pytest_attn_grader.misconceptions import explain as explain_misconception

    if name:
        typer.echo(explain_misconception(name))
    else:
        for misconception in MISCONCEPTIONS:
            typer.echo(f"{misconception.id}  {misconception.slug:<24} {misconception.title}")
    require_written_output()


@app.command(epilog="Example: attn-grader schema --of progress")
@exit_on_error
def schema(
    of: Annotated[str, typer.Option("--of", metavar="NAME", help="report, progress or assessment.")] = "report",
) -> None:
    """Print the JSON Schema of a report, of a progress file or of an assessment."""
    from pytest_attn_grader.reports.schema import SCHEMAS, schema_text

    if of not in SCHEMAS:
        typer.echo(f"There is no schema of {of!r}. There are {', '.join(SCHEMAS)}.", err=True)
        raise typer.Exit(EXIT_USAGE)
    typer.echo(schema_text(of))
    require_written_output()


@app.command(epilog="Example: attn-grader init course")
@exit_on_error
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder, or one without these files.")],
    grader: GraderRequirement = "",
    notebook: Annotated[bool, typer.Option(help="Also write a notebook that explains attention and grades itself.")] = (
        False
    ),
) -> None:
    """Write a repository for students: starter code, and a workflow that grades every pull request."""
    from pytest_attn_grader.cli.init.repository import write_repository

    for path in write_repository(folder, grader=grader, notebook=notebook):
        typer.echo(path)


@app.command("gradescope-zip", epilog="Example: attn-grader gradescope-zip --out autograder.zip")
@exit_on_error
def gradescope_zip(
    out: Annotated[Path, typer.Option(metavar="FILE", help="The zip file to write.")],
    student: Annotated[str, typer.Option(help="The file that students upload.")] = "my_attention.py",
    model: Annotated[str, typer.Option(help="The model, as --attn-model. mini needs no download.")] = "mini",
    grader: GraderRequirement = "",
    wheel: Annotated[Path | None, typer.Option(help="A wheel of the grader to include and install.")] = None,
) -> None:
    """Write the autograder zip for Gradescope. Upload it there, and choose a container of 1.5 GB or more."""
    from pytest_attn_grader.cli.init.gradescope import build_autograder

    build_autograder(out, student=student, model=model, grader=grader, wheel=wheel)
    typer.echo(f"{out}: choose a container of 1.5 GB or more; a submission takes about 10 seconds of one processor")


@app.command(epilog="Example: attn-grader demo --out demo")
@exit_on_error
def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for reports, pages and pictures.")],
    model: Annotated[str, typer.Option(help="The model, as --attn-model.")] = "auto",
) -> None:
    """Run a guided demo that checks and reports each claim. Exit code 1 when a claim fails."""
    from pytest_attn_grader.cli.demo.steps import run_demo

    raise typer.Exit(0 if run_demo(out, model=model, write_line=typer.echo) else 1)


@app.command(epilog="Example: attn-grader version")
@exit_on_error
def version() -> None:
    """Print the version of pytest-attn-grader."""
    from pytest_attn_grader import __version__

    typer.echo(__version__)
    require_written_output()


def run() -> None:
    """Run the command that was typed. Output that is lost changes what no command does, writes or ends with.

    A command whose result is its output says so itself.
    """
    _use_utf8_for_file_names()
    tolerate_lost_output()
    app()


def _use_utf8_for_file_names() -> None:
    """Start again in Python's UTF-8 mode where file names have another encoding, as in the locale C.

    A class with one name outside that encoding could not be graded.
    """
    is_utf8 = sys.getfilesystemencoding() == "utf-8" or os.environ.get("PYTHONUTF8") == "1"
    if os.name == "posix" and not is_utf8:
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


if __name__ == "__main__":
    run()
