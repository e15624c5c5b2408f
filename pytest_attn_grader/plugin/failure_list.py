"""Shorten pytest's lists of failed checks: the first one explains the others most often."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from pytest_attn_grader.plugin.run_state import get_result
from pytest_attn_grader.reports.escaping import for_log


def shorten_failures(config: pytest.Config) -> None:
    """Give every failed check but the first two lines: its title and the actual result.

    Called at the end of the run: JUnit files and other reports have the whole text by then. `-v` and `--tb=long` show
    it on the terminal, too.
    """
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or reporter.verbosity > 0 or config.option.tbstyle == "long":
        return
    for report, result in list(_failed_checks(config))[1:]:
        report.longrepr = for_log(f"{result['title']}\nactual:   {result['actual']}")


class ShortSummary:
    """A plugin that leaves each check's title for pytest's last list, which shows the whole text on CI."""

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, config: pytest.Config) -> None:
        """Called after the failures are printed and before the short summary is."""
        for report, result in _failed_checks(config):
            report.longrepr = for_log(result["title"])


def _failed_checks(config: pytest.Config) -> Iterator[tuple[pytest.TestReport, Mapping[str, Any]]]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        return
    for report in reporter.stats.get("failed", ()):
        # An instructor's plain assertion has pytest's own explanation, which is no text.
        if isinstance(report.longrepr, str) and (result := get_result(report)) is not None:
            yield report, result
