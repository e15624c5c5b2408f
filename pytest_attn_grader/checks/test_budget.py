"""Does it end in time? Runs last, when everything else has been asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.results.submission import Failure

if TYPE_CHECKING:
    from pytest_attn_grader.grading.evidence import Evidence
    from pytest_attn_grader.grading.session import GradingSession
    from pytest_attn_grader.settings.settings import Settings


@pytest.mark.attn_check(
    id="budget.slowdown",
    title="the attention is not much slower than the reference",
    needs=("contract.call", "shape[basic]"),
)
def test_slowdown(attn_session: GradingSession, attn_settings: Settings, attn_evidence: Evidence) -> None:
    limit = attn_settings.thresholds["slowdown"]
    if (unsupported := attn_session.speed_benchmark.why_unsupported()) is not None:
        attn_evidence.not_applicable(unsupported)
    try:
        samples = attn_session.speed_benchmark.confirm_at(limit=limit)
    except SubmissionError as error:
        attn_evidence.require_answer(Failure.from_error(error), expected="an answer within the time limit")
        raise
    student, reference, slowdown = samples.min_student_seconds, min(samples.reference), samples.min_slowdown
    attn_evidence.record(student_seconds=student, reference_seconds=reference, slowdown=slowdown, tokens=samples.tokens)
    unsteady = attn_session.speed_benchmark.why_unsteady(samples.summarize())
    if slowdown > limit and unsteady is not None:
        attn_evidence.not_applicable(unsteady)
    attn_evidence.check(
        slowdown <= limit,
        expected=f"at most {limit:g} times the reference's time, {samples.tokens} tokens",
        actual=f"{slowdown:.0f} times: {student * 1e3:.1f} ms against {reference * 1e3:.2f} ms",
        hint="Python loops over positions: one matrix product does all queries and keys at once",
    )


# Who gives no answer is quick: that earns nothing.
@pytest.mark.attn_check(id="budget.run", title="the whole run ends within its budget", needs=("contract.call",))
def test_run(attn_session: GradingSession, attn_settings: Settings, attn_evidence: Evidence) -> None:
    phases = attn_session.clock.phases
    spent, own = attn_session.clock.elapsed_seconds, attn_session.submission.spent_seconds
    attn_evidence.record(
        seconds=spent,
        student_seconds=own,
        budget=attn_settings.budget_seconds,
        **{phase.name: phase.seconds for phase in phases},
    )
    slowest = max(phases, key=lambda phase: phase.seconds)
    if spent > attn_settings.budget_seconds and own <= spent / 2:
        attn_evidence.not_applicable(
            f"the run took {spent:.1f} seconds and only {own:.1f} of them were in the submission: the rest is the "
            "machine, a download or the size of the model"
        )
    attn_evidence.check(
        spent <= attn_settings.budget_seconds,
        expected=f"a run of at most {attn_settings.budget_seconds:g} seconds (--attn-budget)",
        actual=f"{spent:.1f} seconds, {own:.1f} of them in your code; the longest part was {slowest.name!r} "
        f"with {slowest.seconds:.1f}",
        hint="Python loops over positions in your attention",
    )
