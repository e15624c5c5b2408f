"""The `attn-grader assess` command: its arguments and options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pytest_attn_grader.cli.error_exit import exit_on_error
from pytest_attn_grader.errors import UsageError

MODEL_VARIABLE = "ATTN_LLM_MODEL"


@exit_on_error
def assess(
    reports: Annotated[
        list[Path],
        typer.Argument(metavar="REPORT…", help="Reports written by --attn-report or attn-grader grade."),
    ],
    llm_model: Annotated[str, typer.Option(envvar=MODEL_VARIABLE, help="The name of the language model.")] = "",
    source: Annotated[
        Path | None,
        typer.Option(help="The submission's file, or the folder of submissions. Default: the path in the report."),
    ] = None,
    no_source: Annotated[bool, typer.Option("--no-source", help="Send the evaluation without the source.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the requests; send nothing.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Repeat assessments that exist already.")] = False,
    parallel: Annotated[int, typer.Option(min=1, help="Number of reports assessed at the same time.")] = 1,
    tries: Annotated[int, typer.Option(help="Answers asked for; a request that fails is sent as many times.")] = 4,
    timeout: Annotated[float, typer.Option(help="Seconds without a byte. A local model may need minutes.")] = 600.0,
    limit: Annotated[float, typer.Option(help="Seconds for one report, including all tries and waits.")] = 1800.0,
) -> None:
    """Write LLM feedback next to each report (NAME.assessment.json). Scores are not changed.

    Works with any OpenAI-compatible endpoint. Set OPENAI_BASE_URL to its address and OPENAI_API_KEY to its key.
    """
    from pytest_attn_grader.cli.assess.assess import AssessOptions, assess_reports
    from pytest_attn_grader.cli.assess.client import RequestLimits

    if not dry_run and not (llm_model and llm_model.isprintable()):
        raise UsageError(f"No language model is named. Use --llm-model NAME, or set {MODEL_VARIABLE}.")
    options = AssessOptions(
        model=llm_model,
        source=source,
        with_source=not no_source,
        again=again,
        parallel=parallel,
        limits=RequestLimits(tries=tries, answer_seconds=timeout, total_seconds=limit),
    )
    raise typer.Exit(assess_reports(reports, options, dry_run=dry_run))
