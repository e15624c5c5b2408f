"""Render the summary for a terminal with rich: bars, two columns on wide terminals, links to the written files."""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.style import Style
from rich.table import Table
from rich.text import Text

from pytest_attn_grader.reports.escaping import for_path
from pytest_attn_grader.reports.summary import COLOURS, CategoryPoints, Line, Summary, points

BAR_WIDTH = 12
WIDTH_OF_TWO_COLUMNS = 80
LABEL_WIDTH = 10


def render_summary(summary: Summary, *, width: int) -> str:
    """Return the summary as text with terminal escapes, ending in a line break. No text in it is read as markup."""
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=width, legacy_windows=False)
    if summary.rows:
        console.print(_bars(summary.rows, columns=2 if width >= WIDTH_OF_TWO_COLUMNS else 1))
    console.print(Padding(_labelled(summary.notes, "dim"), (1, 0)))
    console.print(Text(summary.headline, style=f"bold {COLOURS[summary.verdict]}"))
    if summary.highlights:
        console.print(_labelled(summary.highlights, "bold"))
    if not summary.output_files:
        return screen.getvalue()
    links = [
        (what, Text(for_path(path), style=Style(link=path.absolute().as_uri()))) for what, path in summary.output_files
    ]
    console.print(_grid(links, "dim"))
    return screen.getvalue()


def _labelled(lines: Sequence[Line], style: str) -> Table:
    return _grid(
        [(line.label, Text(line.text, style="yellow" if line.label == "note" else "")) for line in lines], style
    )


def _grid(pairs: Sequence[tuple[str, Text]], style: str) -> Table:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(min_width=LABEL_WIDTH, no_wrap=True, style=style)
    grid.add_column(overflow="fold")
    for label, text in pairs:
        grid.add_row(Text(label), text)
    return grid


def _bars(rows: Sequence[CategoryPoints], *, columns: int) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    height = -(-len(rows) // columns)
    for together in itertools.zip_longest(*(rows[start : start + height] for start in range(0, len(rows), height))):
        cells = [cell for row in together if row is not None for cell in _cells(row)]
        grid.add_row(*cells)
    return grid


def _cells(row: CategoryPoints) -> tuple[Text, Text, Text]:
    style = "green" if row.earned == row.possible else "yellow" if row.earned else "red"
    bar = Text("not run".ljust(BAR_WIDTH), style="dim")
    if not row.is_not_run:
        earned, lost, not_run = row.split_bar(BAR_WIDTH)
        bar = Text.assemble(("━" * earned, style), ("━" * lost, "bright_black"), ("╌" * not_run, "dim"))
    amount = f"{points(row.earned):>5} / {points(row.possible):<4}"
    return Text(row.category), bar, Text(amount, style="" if row.earned == row.possible else style)
