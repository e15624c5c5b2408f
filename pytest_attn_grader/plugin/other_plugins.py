"""Keep other plugins from repeating, retrying or forking the grader's checks: each runs once, in this process.

pytest-repeat and pytest-flakefinder parametrize every test, pytest-rerunfailures, pytest-retry and flaky run a failed
one again, and pytest-forked runs each in a separate process. An instructor's own tests are left to them.
"""

from __future__ import annotations

import inspect
from collections.abc import Generator
from typing import Any

import pytest

from pytest_attn_grader.errors import UngradableError
from pytest_attn_grader.plugin.collection import is_check_file, is_xdist_worker


class OtherPlugins:
    """The hooks of a graded run that other plugins would use to change how often, and where, a check runs."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> Generator[None, object, object]:
        """Drop the parameters that a check does not have in its signature."""
        if not is_check_file(metafunc.definition.path):
            return (yield)
        own = inspect.signature(metafunc.function).parameters
        parametrize, num_fixtures = metafunc.parametrize, len(metafunc.fixturenames)

        def parametrize_own(argnames: Any, *args: Any, **kwargs: Any) -> None:
            names = argnames.split(",") if isinstance(argnames, str) else argnames
            if all(name.strip() in own for name in names):
                parametrize(argnames, *args, **kwargs)

        metafunc.parametrize = parametrize_own  # type: ignore[method-assign]  # of this one object
        try:
            return (yield)
        finally:
            # Such a plugin adds a fixture for its parameter.
            del metafunc.fixturenames[num_fixtures:]

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Remove the marker by which pytest-retry runs a failed test again while its report is made."""
        for item in session.items:
            if is_check_file(item.path):
                item.own_markers[:] = [mark for mark in item.own_markers if mark.name != "flaky"]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        """Run a check as pytest itself does."""
        if not is_check_file(item.path):
            return None
        runner: Any = item.config.pluginmanager.get_plugin("runner")
        return bool(runner.pytest_runtest_protocol(item=item, nextitem=nextitem))


def reject_forked_tests(config: pytest.Config) -> None:
    """Refuse `--forked`: an instructor's tests would use the submission's process from several processes.

    Raises:
        UngradableError: `--forked` was given.
    """
    if config.getoption("forked", False) and not is_xdist_worker(config):
        raise UngradableError("pytest-forked (--forked) runs every test in another process. Leave --forked out.")
