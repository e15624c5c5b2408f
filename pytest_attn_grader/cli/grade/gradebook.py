"""Write the gradebook of a class: a CSV to import, and a page to read. Both are views of the reports in a folder."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from pytest_attn_grader.cli.grade.gradebook_page import render_page
from pytest_attn_grader.cli.grade.gradebook_rows import GradebookRow, read_class
from pytest_attn_grader.reports.atomic_write import write_text_atomically
from pytest_attn_grader.reports.escaping import escape_unprintable
from pytest_attn_grader.reports.formats.rows import points_text
from pytest_attn_grader.results.report import CATEGORIES

CSV_FILE, PAGE_FILE = "gradebook.csv", "gradebook.html"
# A spreadsheet takes a cell that begins like this for a formula, in East Asian settings also the wide characters.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def write_gradebook(folder: Path) -> list[GradebookRow]:
    """Write the CSV and the page beside the reports."""
    rows = read_class(folder)
    write_text_atomically(folder / CSV_FILE, render_csv(rows))
    write_text_atomically(folder / PAGE_FILE, render_page(rows))
    return rows


def render_csv(rows: Sequence[GradebookRow]) -> str:
    """One line a row. A missing score is empty, never 0."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")  # RFC 4180
    columns = ["id", "name", "verdict", "earned", "possible", *CATEGORIES]
    writer.writerow([*columns, "diagnosis", "adapted", "flags", "notes", "seconds"])
    for row in rows:
        score = None if row.report is None or row.share is None else row.report.score
        by_category = {} if score is None else score.by_category
        writer.writerow(
            [
                _escape_cell(row.id),
                _escape_cell(row.student),
                row.verdict,
                "" if score is None else points_text(score.earned),
                "" if score is None else points_text(score.possible),
                *(points_text(by_category[name].earned) if name in by_category else "" for name in CATEGORIES),
                _escape_cell(" ".join(row.mistakes)),
                _escape_cell(" ".join(row.adaptations)),
                _escape_cell("; ".join(row.flags)),
                _escape_cell("; ".join(row.notes)),
                f"{row.seconds:.2f}",
            ]
        )
    return out.getvalue()


def _escape_cell(text: str) -> str:
    """A text as a spreadsheet can take it: one line, and never a formula."""
    plain = " ".join(escape_unprintable(text).split())
    return f"'{plain}" if plain.startswith(_FORMULA) else plain
