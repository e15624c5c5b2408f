"""What most tests here need: the probes, their yardsticks and a way to diagnose any local attention."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_attn_grader.attention.probes import TRAIN_DROPOUT_P, Capabilities, Probe, ProbeResult, diagnosis_probes
from pytest_attn_grader.attention.tolerances import ProbeTolerance, derive_tolerance
from pytest_attn_grader.misconceptions import PredictionCache, diagnose
from pytest_attn_grader.misconceptions.matching import run_probe
from pytest_attn_grader.misconceptions.observations import SubmissionObservations
from pytest_attn_grader.misconceptions.stages import StagedAttention
from pytest_attn_grader.results.report import Diagnosis

SEED = 5


@pytest.fixture(scope="session")
def probes() -> dict[str, Probe]:
    return {
        probe.name: probe
        for probe in diagnosis_probes(SEED, Capabilities(takes_dropout=True, off_dropout_p=TRAIN_DROPOUT_P))
    }


@pytest.fixture(scope="session")
def yardsticks(probes: dict[str, Probe]) -> dict[str, tuple[ProbeResult, ProbeTolerance]]:
    return {name: derive_tolerance(probe) for name, probe in probes.items()}


@pytest.fixture(scope="session")
def predictions() -> PredictionCache:
    return PredictionCache()


@pytest.fixture(scope="session")
def case_of(
    probes: dict[str, Probe], yardsticks: dict[str, tuple[ProbeResult, ProbeTolerance]]
) -> Callable[[Any], SubmissionObservations]:
    """Put an attention function to the probes."""

    def put(attention: Any) -> SubmissionObservations:
        return SubmissionObservations(
            {
                name: run_probe(attention, probe)
                for name, probe in probes.items()
                if not probe.chunks or isinstance(attention, StagedAttention)  # a function has no cache
            },
            probes,
            {name: reference for name, (reference, _) in yardsticks.items()},
            {name: tolerance for name, (_, tolerance) in yardsticks.items()},
        )

    return put


@pytest.fixture(scope="session")
def diagnose_attention(
    case_of: Callable[[Any], SubmissionObservations], predictions: PredictionCache
) -> Callable[..., Diagnosis | None]:
    """Put an attention function to the probes and diagnose it; keywords go to `diagnose`."""

    def run(attention: Any, **keywords: Any) -> Diagnosis | None:
        case = case_of(attention)
        return diagnose(
            case.attempts, case.probes, case.references, case.tolerances, predictions=predictions, **keywords
        )

    return run


@pytest.fixture(scope="session")
def right() -> StagedAttention:
    """The pipeline without any mistake."""
    return StagedAttention()
