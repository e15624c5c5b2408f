"""Build the criteria that an assessor reads: one for each category, its level and its evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_attn_grader.results.report import (
    CATEGORIES,
    Category,
    CheckResult,
    Criterion,
    Diagnosis,
    Evaluation,
    Level,
    Score,
    Verdict,
)

CRITERION_DESCRIPTIONS: Mapping[Category, str] = {
    "contract": "The submission can be imported, has one attention, and answers a call.",
    "shape": "Output and weights have the right shape at every batch size, length and head dimension.",
    "weights": "Weights are finite, not negative, sum to one over the keys, and give the output.",
    "masking": "Tokens look at other tokens, and at none that come later or are padding, with a cache as without.",
    "equivalence": "Weights and output equal the reference's on random inputs, large scores and other precisions.",
    "gradients": "Gradients reach query, key and value, and through them the embeddings, and are right.",
    "purity": "Inputs are left alone, and the same question gets the same answer.",
    "similarity": "On the prompt the pattern is the reference's.",
    "behaviour": "The model predicts and continues as it does with the reference.",
    "coherence": "The heads keep the relations between tokens that they encode.",
    "budget": "The attention is not much slower than the reference, and the run ends in time.",
    "custom": "Checks that the course has added.",
}
DESCRIPTORS: Mapping[Level, str] = {
    "met": "Every check of it passed.",
    "partly": "Some of its checks passed, others did not.",
    "not-met": "None of its checks passed.",
    "not-assessed": "Nothing of it could be checked, because something more fundamental is wrong.",
}
# Numbers only: text of a submission has no place in what an assessor reads.
MAX_NUMBERS = 8


def evaluate(verdict: Verdict, checks: Sequence[CheckResult], score: Score, diagnosis: Diagnosis | None) -> Evaluation:
    """Build the criteria of a run; categories without checks are left out."""
    applicable = [check for check in checks if check.outcome != "not-applicable"]
    return Evaluation(
        verdict=verdict,
        criteria=tuple(
            _criterion(category, of_category, score)
            for category in CATEGORIES
            if (of_category := [check for check in applicable if check.category == category])
        ),
        levels=dict(DESCRIPTORS),
        mistakes=() if diagnosis is None else diagnosis.slugs,
        mistake_titles=() if diagnosis is None else diagnosis.titles,
    )


def _criterion(category: Category, checks: Sequence[CheckResult], score: Score) -> Criterion:
    passed = sum(check.outcome == "passed" for check in checks)
    run = sum(check.outcome in {"passed", "failed"} for check in checks)
    level: Level = "met" if passed == len(checks) else "partly" if passed else "not-met" if run else "not-assessed"
    part = score.by_category[category]
    failed = tuple(_describe_failure(check) for check in checks if check.outcome == "failed")
    skipped = sum(check.outcome == "skipped" for check in checks)
    not_run = (f"{skipped} not run, because a check that they need did not pass",) if skipped else ()
    return Criterion(
        category=category,
        asks=CRITERION_DESCRIPTIONS[category],
        level=level,
        descriptor=DESCRIPTORS[level],
        earned=part.earned,
        possible=part.possible,
        evidence=(f"{passed} of {len(checks)} checks passed", *not_run, *failed),
    )


def _describe_failure(check: CheckResult) -> str:
    """Describe a failed check by id, title (the grader's or the course's words), kind of failure and numbers."""
    kind = f" ({check.failure.name})" if check.failure is not None else ""
    numbers = [f"{name} {_number(value)}" for name, value in check.evidence.items() if _is_number(value)]
    return f"{check.id}, {check.title}{kind}" + (f": {', '.join(numbers[:MAX_NUMBERS])}" if numbers else "")


def _is_number(value: Any) -> bool:
    return (isinstance(value, (int, float)) and not isinstance(value, bool)) or value in ("nan", "inf", "-inf")


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
