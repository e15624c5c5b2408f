"""Support for pytest-xdist: all checks run in one worker, with the controller's seed.

They share one model and one student process. xdist has groups for this, but with pytest 9.2 they do nothing: xdist 3.8
writes them into an attribute of the node that pytest no longer reads.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pytest_attn_grader.plugin.collection import CHECKS_NODEID_PREFIX
from pytest_attn_grader.settings.settings import Settings

SEED_KEY = "attn_grader_seed"
SCOPE = "attn-grader"


def make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Make xdist's scheduler of scopes; every test that uses the submission is in the same scope."""
    if config.getoption("dist", "no") == "each":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class ChecksTogether(LoadScopeScheduling):  # type: ignore[misc]  # xdist ships no types
        def _split_scope(self, nodeid: str) -> str:
            return scope_of(nodeid, config.rootpath)

    return ChecksTogether(config, log)


def scope_of(nodeid: str, rootpath: Path) -> str:
    """Get the scope of a test: one for all checks and all files that use the plugin's fixtures, others their own."""
    place = nodeid.partition("::")[0]
    return SCOPE if place.startswith(CHECKS_NODEID_PREFIX) or _uses_submission(rootpath / place) else nodeid


@cache
def _uses_submission(file: Path) -> bool:
    try:
        return "attn_" in file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def send_seed_to_worker(workerinput: dict[str, Any], settings: Settings) -> None:
    """Send the seed: a worker reads the command line itself and would draw another one."""
    workerinput[SEED_KEY] = str(settings.seed)


def settings_with_controller_seed(config: pytest.Config, settings: Settings) -> Settings:
    """Get the settings of this process; in a worker, with the controller's seed."""
    seed = getattr(config, "workerinput", {}).get(SEED_KEY)
    return settings if seed is None else replace(settings, seed=int(seed))


def is_stopped_by_maxfail(session: pytest.Session) -> bool:
    """Whether `-x` or `--maxfail` ended a distributed run: xdist says interrupted, as after Ctrl-C."""
    scheduling = session.config.pluginmanager.get_plugin("dsession")
    maxfail = session.config.getoption("maxfail", 0)
    return scheduling is not None and 0 < maxfail <= scheduling.countfailures
