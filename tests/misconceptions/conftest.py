"""What most tests here need: the probes, their yardsticks and a way to diagnose any local attention."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from pytest_attn_grader.attention.probes import TRAIN_DROPOUT_P, Capabilities, Probe, ProbeResult, diagnosis_probes
from pytest_attn_grader.attention.query_key_norm import Preparation
from pytest_attn_grader.attention.rotation import BASE, Rotation
from pytest_attn_grader.attention.tolerances import ProbeTolerance, derive_tolerance
from pytest_attn_grader.misconceptions import Misconception, PredictionCache, diagnose
from pytest_attn_grader.misconceptions.matching import run_probe
from pytest_attn_grader.misconceptions.observations import SubmissionObservations
from pytest_attn_grader.misconceptions.stages import StagedAttention
from pytest_attn_grader.results.report import Diagnosis

SEED = 5


Yardsticks = dict[str, tuple[ProbeResult, ProbeTolerance]]


@cache
def probes_of(*, windowed: bool, normed: bool, bidirectional: bool = False) -> dict[str, Probe]:
    """The probes of a layer with a sliding window, with a norm of query and key before a rotation, or of an encoder."""
    capabilities = Capabilities(
        takes_dropout=True,
        off_dropout_p=TRAIN_DROPOUT_P,
        sliding_window=4 if windowed else None,
        is_bidirectional=bidirectional,
        preparation=Preparation("head_dim", Rotation("halves", BASE)) if normed else None,
    )
    return {probe.name: probe for probe in diagnosis_probes(SEED, capabilities)}


@cache
def yardsticks_of(**layer: bool) -> Yardsticks:
    return {name: derive_tolerance(probe) for name, probe in probes_of(**layer).items()}


@pytest.fixture(scope="session")
def probes() -> dict[str, Probe]:
    return probes_of(windowed=False, normed=False)


@pytest.fixture(scope="session")
def yardsticks() -> Yardsticks:
    return yardsticks_of(windowed=False, normed=False)


@pytest.fixture(scope="session")
def predictions() -> PredictionCache:
    return PredictionCache()


@pytest.fixture(scope="session")
def case_of() -> Callable[..., SubmissionObservations]:
    """Put an attention function to the probes, those of the layer in which a mistake is one."""

    def put(attention: Any, *, layer_of: Misconception | None = None) -> SubmissionObservations:
        layer = {"windowed": bool(layer_of and layer_of.windowed), "normed": bool(layer_of and layer_of.normed)}
        layer["bidirectional"] = layer_of is not None and layer_of.causal is False
        probes, yardsticks = probes_of(**layer), yardsticks_of(**layer)
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
    case_of: Callable[..., SubmissionObservations], predictions: PredictionCache
) -> Callable[..., Diagnosis | None]:
    """Put an attention function to the probes and diagnose it; other keywords go to `diagnose`."""

    def run(attention: Any, *, layer_of: Misconception | None = None, **keywords: Any) -> Diagnosis | None:
        case = case_of(attention, layer_of=layer_of)
        return diagnose(
            case.attempts, case.probes, case.references, case.tolerances, predictions=predictions, **keywords
        )

    return run


@pytest.fixture(scope="session")
def right() -> StagedAttention:
    """The pipeline without any mistake."""
    return StagedAttention()
