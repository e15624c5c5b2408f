"""The typed keys under which a run keeps its state in pytest's stashes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_attn_grader.grading.evidence import Evidence
    from pytest_attn_grader.grading.session import GradingSession
    from pytest_attn_grader.submission.target import Target

SESSION_KEY: pytest.StashKey[GradingSession] = pytest.StashKey()
LIVE_KEY: pytest.StashKey[Target] = pytest.StashKey()
EVIDENCE_KEY: pytest.StashKey[Evidence] = pytest.StashKey()
# The name under which the plugin of a graded run is registered.
RUN_NAME = "attn-grader-run"
