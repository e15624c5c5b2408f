"""Put a run together into one `GradeReport`, whether it came to its end or not."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib import metadata
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from pytest_attn_grader._utils.fork_cache import once
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
from pytest_attn_grader.settings import Settings

if TYPE_CHECKING:
    from pytest_attn_grader.grading.session import GradingSession

_SHOWN_PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "pytest", "pytest-attn-grader")
_USAGE_EXIT_CODE = 4


class RunData(BaseModel):
    """What a run found out beside its checks; it can travel from an xdist worker to the controller."""

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
    """Ask a session for what it has; what was never loaded stays out instead of being loaded now.

    A failing submission is diagnosed here, at the end, when everything that was observed can speak.
    """
    asked = session.__dict__
    facts = RunData(
        student=_student_info(session),
        model=_model_info(session) if "loaded" in asked else None,
        prompt=PromptInfo(
            text=session.prompt.text, ids=tuple(session.prompt.input_ids[0].tolist()), tokens=session.prompt.tokens
        )
        if "prompt" in asked
        else None,
        comparison=_comparison(session) if "student" in asked and fault is None else None,
        diagnosis=session.diagnosis() if failed and fault is None else None,
        # Asked for last: it takes what time is left.
        speed=_speed(session) if "student" in asked and fault is None else None,
        tolerances=tuple(
            observation.as_tolerance()
            for observation in session.observations.values()
            if observation.tolerance_was_used
        ),
        environment=once(lambda: "versions", _environment),
        timing=session.clock.phases,
        peak_memory_bytes=peak_rss_bytes(),
        sandbox=session.student_process.sandbox() if "student_process" in asked else None,
    )
    if fault is not None:
        facts.fault = str(fault)
        facts.fault_exit_code = _USAGE_EXIT_CODE if isinstance(fault, UsageError) else EXIT_UNGRADABLE
    return facts


def _student_info(session: GradingSession) -> StudentInfo:
    asked = session.__dict__
    if "student_process" not in asked:
        return StudentInfo(target=session.target.typed)
    info = session.student_process.info()
    if "student" not in asked:
        return info
    basic = session.observations.get("basic")
    return info.model_copy(
        update={
            "rank": session.student.rank,
            "adaptations": session.adaptations,
            **_patching_info(session),
            "returns_weights": None if basic is None or basic.student.failure else basic.student.weights_returned,
        }
    )


def _patching_info(session: GradingSession) -> dict[str, object]:
    if "replaced" not in session.__dict__:
        return {}
    try:
        return {"restriction": session.replaced.restriction, "width_adapter": session.replaced.width_adapter}
    except SubmissionError:
        # Its worker has ended meanwhile, and now it cannot even be constructed: the checks have said so.
        return {}


def _comparison(session: GradingSession) -> Comparison | None:
    continuations = tuple(
        Continuation(
            cached=cached,
            reference=each.reference,
            student=each.student,
            failure="" if each.failure is None else each.failure.message,
        )
        for cached, each in sorted(session.continued.items())
    )
    try:
        return session.comparison.model_copy(update={"continuations": continuations})
    except SubmissionError:
        # The checks that needed it have said so already.
        return None


def _speed(session: GradingSession) -> Speed | None:
    """Only for those who will read it: a run without report or page is to cost no more than its checks."""
    wanted = session.settings.report is not None or session.settings.html is not None
    return session.stopwatch.measure() if wanted else None


def _model_info(session: GradingSession) -> ModelInfo:
    loaded, config = session.loaded, session.loaded.model.config
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


def assemble(
    settings: Settings,
    facts: RunData,
    results: Sequence[CheckResult],
    *,
    reason: str | None = None,
    exit_code: int | None = None,
    not_selected: Sequence[str] = (),
    other_failures: int = 0,
) -> GradeReport:
    """The report of a run.

    Args:
        reason: why the run is ungradable; None when the checks have spoken.
        not_selected: ids of checks that `-k` or `-m` left out: then there is no verdict on the whole.
        other_failures: failed tests of the instructor's that are no checks of ours.
    """
    checks = assign_points(results, settings.points)
    failed = any(check.outcome == "failed" for check in checks)
    verdict: Verdict = "passed"
    if reason is None and not_selected and not failed and not other_failures:
        reason = f"{len(not_selected)} of the checks were not selected, so there is no verdict on the whole"
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
