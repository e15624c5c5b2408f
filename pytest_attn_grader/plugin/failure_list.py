"""Shorten pytest's list of failed checks: the first one explains the others most often."""

from __future__ import annotations

import pytest

from pytest_attn_grader.plugin.run_state import get_result
from pytest_attn_grader.reports.escaping import for_log


def shorten_failure_list(config: pytest.Config) -> None:
    """Give every failed check but the first two lines: its title and the actual result.

    Called at the end of the run: JUnit files and other reports have the whole text by then. `-v` and `--tb=long` show
    it on the terminal, too.
    """
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or reporter.verbosity > 0 or config.option.tbstyle == "long":
        return
    failed = [
        (report, result)
        for report in reporter.stats.get("failed", ())
        # An instructor's plain assertion has pytest's own explanation, which is no text.
        if isinstance(report.longrepr, str) and (result := get_result(report)) is not None
    ]
    for report, result in failed[1:]:
        report.longrepr = for_log(f"{result['title']}\nactual:   {result['actual']}")
