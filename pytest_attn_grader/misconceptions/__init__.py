"""The catalogue of what people get wrong in attention, and the diagnosis that matches a submission against it."""

from __future__ import annotations

from pytest_attn_grader.misconceptions.base import FAMILIES, Hints, Misconception
from pytest_attn_grader.misconceptions.catalogue.registry import MISCONCEPTIONS, explain, find_misconception
from pytest_attn_grader.misconceptions.diagnose import diagnose, diagnose_failure
from pytest_attn_grader.misconceptions.mismatches import PredictionCache

__all__ = [
    "FAMILIES",
    "Hints",
    "MISCONCEPTIONS",
    "Misconception",
    "PredictionCache",
    "diagnose",
    "diagnose_failure",
    "explain",
    "find_misconception",
]
