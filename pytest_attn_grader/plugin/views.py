"""What is written after the JSON report: the page and the pictures, for people, and what other graders read."""

from __future__ import annotations

import sys

import pytest

from pytest_attn_grader._utils.imports import fast_imports
from pytest_attn_grader.reports.escaping import for_path
from pytest_attn_grader.reports.formats import files
from pytest_attn_grader.results.report import GradeReport
from pytest_attn_grader.settings import Settings


def write_views(report: GradeReport, config: pytest.Config, settings: Settings) -> bool:
    """Write what was asked for; False, and a line on stderr, when the disk refuses. jinja and matplotlib load here."""
    try:
        if settings.html is not None:
            from pytest_attn_grader.reports.html_page import write_page

            write_page(report, settings.html)
        if settings.plots is not None and not config.hook.pytest_attn_write_plots(
            config=config, report=report, folder=settings.plots
        ):
            with fast_imports():
                from pytest_attn_grader.reports.plots import write_plots

            write_plots(report, settings.plots)
    except OSError as error:
        sys.stderr.write(f"attn-grader: {for_path(error.filename)} could not be written: {error.strerror}\n")
        return False
    return files.write(report, settings.formats)
