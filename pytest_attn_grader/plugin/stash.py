"""Where a run keeps its state in pytest: typed keys, no module globals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_attn_grader.grading.evidence import Evidence
    from pytest_attn_grader.grading.session import GradingSession

SESSION_KEY: pytest.StashKey[GradingSession] = pytest.StashKey()
EVIDENCE_KEY: pytest.StashKey[Evidence] = pytest.StashKey()
