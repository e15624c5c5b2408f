from __future__ import annotations

import importlib
from collections.abc import Callable

import pytest

from pytest_attn_grader.attention.probes import Capabilities, Probe, ProbeResult, diagnosis_probes
from pytest_attn_grader.attention.tolerances import ProbeTolerance, derive_tolerance
from pytest_attn_grader.grading import diagnosis as naming
from pytest_attn_grader.grading.diagnosis import run_diagnosis
from pytest_attn_grader.grading.observation import Observation
from pytest_attn_grader.plugin.outcomes import is_diagnosable
from pytest_attn_grader.results.report import CheckResult, Diagnosis
from pytest_attn_grader.results.submission import Failure
from pytest_attn_grader.submission.function_attention import FunctionAttention
from tests.support.students import REFERENCE, Workshop

SEED = 5
MAX_LEN = 64
NO_SCALE = REFERENCE.replace(" / math.sqrt(query.size(-1))", "")
SLOW = NO_SCALE.replace('    """The formula', '    import time; time.sleep(0.4)\n    """The formula')


def observed_of(attention: FunctionAttention) -> dict[str, Observation]:
    """What the checks would have seen."""
    probes = diagnosis_probes(SEED, Capabilities(max_len=MAX_LEN))
    return {probe.name: Observation(probe, attention.run_probe(probe)) for probe in probes}


def diagnosed(attention: FunctionAttention, observed: dict[str, Observation], seconds: float) -> Diagnosis | None:
    return run_diagnosis(
        attention,
        seed=SEED,
        max_len=MAX_LEN,
        hints="explain",
        observed=observed,
        seconds=seconds,
    )


def slugs(diagnosis: Diagnosis | None) -> tuple[str, ...]:
    return () if diagnosis is None else tuple(diagnosis.slugs)


@pytest.mark.parametrize("seconds", [-3.0, 0.0, naming.MIN_SECONDS - 1])
def test_without_time_what_was_observed_is_diagnosed(
    seconds: float, student_of: Callable[..., FunctionAttention], monkeypatch: pytest.MonkeyPatch
) -> None:
    attention = student_of(NO_SCALE)
    observed = observed_of(attention)
    monkeypatch.setattr(FunctionAttention, "restarted", lambda self, **_: pytest.fail("asked again"))
    assert slugs(diagnosed(attention, observed, seconds)) == ("no-scale",)


def test_references_that_a_check_has_used_are_not_derived_again(
    student_of: Callable[..., FunctionAttention], monkeypatch: pytest.MonkeyPatch
) -> None:
    attention = student_of(NO_SCALE)
    observed = observed_of(attention)
    used = {"basic", "square", "bfloat16"}
    assert all(observed[name].tolerance.tolerance for name in used)
    derived: list[str] = []

    def derive(probe: Probe) -> tuple[ProbeResult, ProbeTolerance]:
        derived.append(probe.name)
        return derive_tolerance(probe)

    # The package has a function of the same name as this module.
    module = importlib.import_module("pytest_attn_grader.misconceptions.diagnose")
    monkeypatch.setattr(module, "derive_tolerance", derive)
    assert slugs(diagnosed(attention, observed, 60.0)) == ("no-scale",)
    # "basic-again" has the inputs of "basic", and this submission has neither groups of heads nor a cache.
    left = {"basic-again", "groups", "multi-query", "cache-tokens", "cache-chunks", "cache-padded"}
    assert sorted(derived) == sorted(set(observed) - used - left)


@pytest.mark.slow
def test_a_slow_submission_is_asked_as_long_as_there_is_time(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time is over in the middle of the probes: the others are taken from what was observed."""
    attention = workshop.attention(SLOW)
    observed = observed_of(attention)
    asked: list[str] = []
    attempt = FunctionAttention.run_probe

    def counted(self: FunctionAttention, probe: object) -> ProbeResult:
        asked.append(getattr(probe, "name", ""))
        return attempt(self, probe)  # type: ignore[arg-type]

    monkeypatch.setattr(FunctionAttention, "run_probe", counted)
    assert slugs(diagnosed(attention, observed, naming.MIN_SECONDS)) == ("no-scale",)
    assert 0 < len(asked) < len(observed)


@pytest.mark.parametrize(
    ("category", "failure", "wrong"),
    [
        ("budget", None, False),
        ("budget", Failure(name="timeout", message="10 s"), True),
        ("masking", None, True),
    ],
)
def test_being_slow_is_no_mistake_to_be_named(category: str, failure: Failure | None, wrong: bool) -> None:
    result = CheckResult(id="x", title="x", category=category, outcome="failed", failure=failure)  # type: ignore[arg-type]
    assert is_diagnosable(result) is wrong
    assert not is_diagnosable(result.model_copy(update={"outcome": "passed"}))
