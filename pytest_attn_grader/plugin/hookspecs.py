"""Hooks that an instructor may implement in a conftest.py or in a plugin of the course."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_attn_grader.results.report import GradeReport


@pytest.hookspec(firstresult=True)
def pytest_attn_modify_report(config: pytest.Config, report: GradeReport) -> GradeReport | None:
    """Read or replace the finished report before it is written and shown.

    Called once at the end of a run. The report is frozen: return `report.model_copy(update={...})` to change it, None
    to leave it. The first implementation that returns a report wins.
    """


@pytest.hookspec
def pytest_attn_report_written(config: pytest.Config, report: GradeReport, path: str) -> None:
    """Called when the JSON report has been written to `path`: upload it or record progress here."""


@pytest.hookspec(firstresult=True)
def pytest_attn_write_plots(config: pytest.Config, report: GradeReport, folder: Path) -> bool | None:
    """Write the plots of `--attn-plots=folder` in place of the grader; return True when that is done.

    Everything a plot needs is in the report (`report.comparison`, `report.prompt.tokens`). The grader's own plotting
    functions, which take plain arrays, are in `reports.plots`. Return None to leave the plots to the grader.
    """
