"""Build the `GradeReport` of a run, finished or not."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ConfigDict

from pytest_attn_grader._utils.fork_cache import cached
from pytest_attn_grader._utils.memory import peak_rss_bytes
from pytest_attn_grader.errors import EXIT_UNGRADABLE, AttnGraderError, SubmissionError, UsageError
from pytest_attn_grader.grading.evaluation import evaluate
from pytest_attn_grader.grading.scoring import assign_points, total_score
from pytest_attn_grader.results.comparison import Comparison, Continuation, Speed
from pytest_attn_grader.results.report import (
    CheckResult,
    Diagnosis,
    GradeReport,
    ModelInfo,
    Phase,
    PromptInfo,
    Sandbox,
    Tolerance,
    Verdict,
)
from pytest_attn_grader.results.submission import StudentInfo
from pytest_attn_grader.settings.settings import Settings

if TYPE_CHECKING:
    from pytest_attn_grader.grading.session import GradingSession

T = TypeVar("T")

_SHOWN_PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "pytest", "pytest-attn-grader")
_USAGE_EXIT_CODE = 4


class RunData(BaseModel):
    """Everything but the check results; xdist workers send it to the controller."""

    model_config = ConfigDict(extra="forbid")

    fault: str = ""
    fault_exit_code: int | None = None
    student: StudentInfo | None = None
    model: ModelInfo | None = None
    prompt: PromptInfo | None = None
    comparison: Comparison | None = None
    speed: Speed | None = None
    diagnosis: Diagnosis | None = None
    tolerances: tuple[Tolerance, ...] = ()
    environment: dict[str, str] = {}
    timing: tuple[Phase, ...] = ()
    peak_memory_bytes: int | None = None
    sandbox: Sandbox | None = None


def collect_run_data(session: GradingSession, fault: AttnGraderError | None, *, failed: bool) -> RunData:
    """Collect what a session has loaded; nothing is loaded for the report.

    Args:
        fault: why nothing can be graded; None when the checks could run.
        failed: whether a check has failed, so that the submission is diagnosed now, with all observations.
    """
    submission, prompt = session.submission, session.lazy_prompt.peek()
    process = submission.lazy_process.peek()
    compared = fault is None and submission.lazy_attention.peek() is not None
    data = RunData(
        student=_student_info(session),
        model=_model_info(session),
        prompt=None
        if prompt is None
        else PromptInfo(text=prompt.text, ids=tuple(prompt.input_ids[0].tolist()), tokens=prompt.tokens),
        comparison=_unless_it_fails(lambda: _comparison(session)) if compared else None,
        diagnosis=_unless_it_fails(session.diagnose) if failed and fault is None else None,
        # Measured last: it takes what time is left.
        speed=_unless_it_fails(lambda: _speed(session)) if compared else None,
        tolerances=tuple(
            observation.as_tolerance()
            for observation in session.observations.values()
            if observation.tolerance_was_used
        ),
        environment={**cached("versions", _environment), **_gpu_facts(session)},
        timing=session.clock.phases,
        peak_memory_bytes=peak_rss_bytes(),
        sandbox=None if process is None else process.sandbox(),
    )
    if fault is not None:
        data.fault = str(fault)
        data.fault_exit_code = _USAGE_EXIT_CODE if isinstance(fault, UsageError) else EXIT_UNGRADABLE
    return data


def _student_info(session: GradingSession) -> StudentInfo:
    process, attention = session.submission.lazy_process.peek(), session.submission.lazy_attention.peek()
    if process is None:
        return StudentInfo(target=session.submission.target.typed)
    info = process.info()
    if attention is None:
        return info
    basic = session.observations.get("basic")
    return info.model_copy(
        update={
            "rank": attention.rank,
            "adaptations": attention.adaptations,
            **_patching_info(session),
            "returns_weights": None if basic is None or basic.student.failure else basic.student.weights_returned,
        }
    )


def _patching_info(session: GradingSession) -> dict[str, object]:
    patched = session.lazy_patched.peek()
    if patched is None:
        return {}
    try:
        return {"restriction": patched.restriction, "width_adapter": patched.width_adapter}
    except SubmissionError:
        # Its worker has ended, and now it cannot be constructed: the checks report it.
        return {}


def _unless_it_fails(measure: Callable[[], T]) -> T | None:
    """Return a measurement, or None where the submission fails now: the checks that needed it report that."""
    try:
        return measure()
    except SubmissionError:
        return None


def _comparison(session: GradingSession) -> Comparison:
    continuations = tuple(
        Continuation(
            cached=cached,
            reference=each.reference,
            student=each.student,
            failure="" if each.failure is None else each.failure.message,
        )
        for cached, each in sorted(session.continuations.items())
    )
    return session.comparison.model_copy(update={"continuations": continuations})


def _speed(session: GradingSession) -> Speed | None:
    """Measure only when the result is written: a run without report or page costs no more than its checks."""
    wanted = session.settings.report is not None or session.settings.html is not None
    return session.speed_benchmark.measure() if wanted else None


def _model_info(session: GradingSession) -> ModelInfo | None:
    loaded = session.lazy_model.peek()
    if loaded is None:
        return None
    config = loaded.model.config
    return ModelInfo(
        requested=loaded.requested,
        used=loaded.used,
        source=loaded.source,
        revision=loaded.revision,
        sha256=loaded.sha256,
        fallback_reason=loaded.fallback_reason,
        architecture=type(loaded.model).__name__,
        num_layers=config.num_hidden_layers,
        num_heads=config.num_attention_heads,
        head_dim=getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads,
        hidden_size=config.hidden_size,
        layer_idx=session.settings.layer_idx,
        all_layers=session.settings.all_layers,
        device=str(loaded.device),
    )


def _environment() -> dict[str, str]:
    versions = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    for package in _SHOWN_PACKAGES:
        versions[package] = metadata.version(package)
    return versions


def _gpu_facts(session: GradingSession) -> dict[str, str]:
    loaded = session.lazy_model.peek()
    if loaded is None or loaded.device.type != "cuda":
        return {}
    import torch

    name, peak_bytes = torch.cuda.get_device_name(loaded.device), torch.cuda.max_memory_allocated(loaded.device)
    return {"gpu": name, "gpu_peak_memory_bytes": str(peak_bytes)}


def assemble(
    settings: Settings,
    facts: RunData,
    results: Sequence[CheckResult],
    *,
    reason: str | None = None,
    exit_code: int | None = None,
    not_run: Sequence[str] = (),
    other_failures: int = 0,
) -> GradeReport:
    """Build the report of a run.

    Args:
        reason: why the run is ungradable; None when every check has a result.
        not_run: ids of the checks without a result: then there is neither verdict nor score.
        other_failures: failed tests of the instructor that are not checks.
    """
    if reason is None and not_run:
        reason = (
            f"partial: {len(results)} of {len(results) + len(not_run)} checks; a verdict and a score need all of them"
        )
    # Points are shares of a whole, so a part of the checks has none.
    checks = tuple(results) if not_run else assign_points(results, settings.points)
    failed = any(check.outcome == "failed" for check in checks)
    verdict: Verdict = "passed"
    if reason is not None:
        verdict = "ungradable"
    elif failed or other_failures:
        verdict = "failed"
        reason = _failed_reason(sum(check.outcome == "failed" for check in checks), other_failures)
    score = total_score(checks)
    return GradeReport(
        verdict=verdict,
        reason=reason or "",
        exit_code=exit_code,
        score=score,
        student=facts.student or StudentInfo(target=settings.student),
        model=facts.model or ModelInfo(requested=settings.model),
        prompt=facts.prompt or PromptInfo(text=settings.prompt),
        checks=checks,
        comparison=facts.comparison,
        speed=facts.speed,
        diagnosis=facts.diagnosis,
        evaluation=evaluate(verdict, checks, score, facts.diagnosis),
        settings=settings.as_json(),
        seeds={"inputs": settings.seed},
        tolerances=facts.tolerances,
        environment=facts.environment,
        timing=facts.timing,
        peak_memory_bytes=facts.peak_memory_bytes,
        sandbox=facts.sandbox or Sandbox(requested=settings.sandbox),
    )


def _failed_reason(failed_checks: int, other_failures: int) -> str:
    parts = []
    if failed_checks:
        parts.append(f"{failed_checks} {'check' if failed_checks == 1 else 'checks'} failed")
    if other_failures:
        parts.append(f"{other_failures} of the instructor's own {'test' if other_failures == 1 else 'tests'} failed")
    return " and ".join(parts)
