"""The command `attn-grader watch`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pytest_attn_grader.cli.error_exit import exit_on_error
from pytest_attn_grader.errors import UsageError

if TYPE_CHECKING:
    from pytest_attn_grader.results.report import GradeReport


@exit_on_error
def watch(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The file to grade, with :NAME to choose in it.")],
    model: Annotated[str, typer.Option(help="The model, as --attn-model.")] = "mini",
    device: Annotated[str, typer.Option(help="The device, as --attn-device.")] = "auto",
    hints: Annotated[str, typer.Option(help="none, nudge, explain or fix, as --attn-hints.")] = "explain",
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="A page that loads itself again.")] = None,
) -> None:
    """Grade a file at every save, until Ctrl-C. The model stays in memory, so a result takes about a second."""
    from rich.console import Console

    from pytest_attn_grader._utils.output_streams import is_output_lost, require_written_output
    from pytest_attn_grader.cli.grade.runners import can_fork
    from pytest_attn_grader.cli.watch.display import ResultDisplay
    from pytest_attn_grader.cli.watch.watcher import Watcher, WatchSettings
    from pytest_attn_grader.submission.target import find_target

    target = find_target(file, Path.cwd())
    if hints not in {"none", "nudge", "explain", "fix"}:
        raise UsageError(f"--hints got {hints!r}; write none, nudge, explain or fix")
    settings = WatchSettings(
        target.path, name=target.name, model=model, device=device, html=html, options=(f"--attn-hints={hints}",)
    )
    with tempfile.TemporaryDirectory(prefix="attn-grader-") as folder, ResultDisplay(Console()) as display:
        speed = "" if can_fork() else " (this system cannot fork: each run loads the model)"
        display.show_message(f"watching {target.path.name} with {model}{speed}; Ctrl-C ends")
        if html is None:
            require_written_output()

        def show(report: GradeReport) -> None:
            display.show(report)
            if html is None and is_output_lost():
                # No later result could be seen.
                watcher.stop_event.set()

        watcher = Watcher(settings, Path(folder), show)
        try:
            watcher.run()
        except KeyboardInterrupt:
            return
    if html is None:
        require_written_output()
