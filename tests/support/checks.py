"""The grader's own checks, put to a submission without a whole run: milliseconds instead of seconds."""

from __future__ import annotations

import importlib
import inspect
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_attn_grader import checks
from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.grading.evidence import CheckFailed, Evidence, NotApplicable
from pytest_attn_grader.grading.session import GradingSession
from pytest_attn_grader.plugin.collection import CHECK_FILES, CheckMark
from pytest_attn_grader.plugin.outcomes import unmet_dependency
from pytest_attn_grader.settings.settings import Settings

if TYPE_CHECKING:
    from pytest_attn_grader.models.types import LoadedModel
    from pytest_attn_grader.submission.student import Student

PASSED = "passed"


@dataclass(frozen=True)
class Check:
    """One check with its parameters, as a whole run would collect it."""

    mark: CheckMark
    function: Callable[..., None]
    parameters: tuple[tuple[str, Any], ...] = ()


def put(check: Callable[..., None], session: GradingSession, **parameters: Any) -> Evidence:
    """Call a check with the fixtures it asks for.

    Raises:
        CheckFailed, NotApplicable, SubmissionError: as the check does.
    """
    evidence = Evidence()
    fixtures: dict[str, Any] = {
        "attn_session": session,
        "attn_evidence": evidence,
        "attn_settings": session.settings,
        "attn_observe": _observing(session, evidence),
    }
    wanted = inspect.signature(check).parameters
    if "attn_comparison" in wanted:
        fixtures["attn_comparison"] = session.comparison
    check(**{name: fixture for name, fixture in fixtures.items() if name in wanted}, **parameters)
    return evidence


def ask(session: GradingSession, check: Callable[..., None], **parameters: Any) -> str:
    """What one check says: "passed", "not applicable: why", or what came."""
    try:
        evidence = put(check, session, **parameters)
    except CheckFailed as failed:
        return failed.actual if failed.expected.strip() and failed.hint.strip() else "a line is missing"
    except NotApplicable as reason:
        return f"not applicable: {reason}"
    assert evidence.numbers
    return PASSED


def ask_everything(session: GradingSession) -> dict[str, str]:
    """What each check says, by id."""
    return {check.mark.id: ask(session, check.function, **dict(check.parameters)) for check in every_check()}


def first_failure(session: GradingSession, *, without: tuple[str, ...] = ("budget",)) -> str:
    """The first check that fails and what came, in the order of a run; empty when none does.

    Args:
        without: categories that are left out; how fast a submission is depends on what else runs here.
    """
    outcomes: dict[str, str] = {}
    for check in every_check():
        mark = check.mark
        if mark.category in without or unmet_dependency(mark, outcomes):
            continue
        outcomes[mark.id] = "passed"
        try:
            put(check.function, session, **dict(check.parameters))
        except (CheckFailed, SubmissionError) as error:
            return f"{mark.id}: {error.actual if isinstance(error, CheckFailed) else error}"
        except NotApplicable:
            outcomes[mark.id] = "not-applicable"
    assert outcomes
    return ""


def session_over(student: Student, loaded: LoadedModel, **settings: Any) -> GradingSession:
    """A grading session over a submission and a model that are both there already."""
    return GradingSession(
        Settings(
            student=str(student.target.path), model=loaded.used, seed=1, timeout_seconds=5, device="cpu", **settings
        ),
        process=student,
        loaded=loaded,
    )


@cache
def every_check() -> tuple[Check, ...]:
    """All of them, in the order of a run."""
    names = [f"{checks.__name__}.{Path(file).stem}" for file in CHECK_FILES]
    return tuple(check for name in names for check in _checks_of(importlib.import_module(name)))


def _checks_of(module: Any) -> Iterator[Check]:
    for name, function in vars(module).items():
        if not name.startswith("test_"):
            continue
        marks: dict[str, list[pytest.Mark]] = {}
        for mark in function.pytestmark:
            marks.setdefault(mark.name, []).append(mark)
        (attn_check,) = marks["attn_check"]
        for parameters in itertools.product(*map(_variants_of, marks.get("parametrize", []))):
            ids = "-".join(variant_id for variant_id, _ in parameters)
            fields = {
                "category": module.__name__.rpartition("test_")[2],
                **attn_check.kwargs,
                **({"id": f"{attn_check.kwargs['id']}[{ids}]"} if ids else {}),
            }
            needs = tuple(need for need in fields.pop("needs", ()) if need != fields["id"])
            values = {name: value for _, given in parameters for name, value in given.items()}
            yield Check(CheckMark(**fields, needs=needs), function, tuple(values.items()))


def _variants_of(mark: pytest.Mark) -> list[tuple[str, dict[str, Any]]]:
    """What one `parametrize` gives, with the ids that pytest gives to plain values."""
    names, rows = mark.args
    names = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    ids = mark.kwargs.get("ids") or [getattr(row, "id", None) for row in rows]
    rows = [getattr(row, "values", row) if len(names) > 1 else (row,) for row in rows]  # `pytest.param` has values
    return [
        (given or "-".join(map(str, row)), dict(zip(names, row, strict=True)))
        for given, row in zip(ids, rows, strict=True)
    ]


def _observing(session: GradingSession, evidence: Evidence) -> Callable[..., Any]:
    """What the `attn_observe` fixture hands out."""

    def observe(name: str, *, variant: str | None = None, expected: str = "", tolerate_failure: bool = False) -> Any:
        observation = session.run_probe(name, variant)
        evidence.record(probe=observation.probe.name)
        if not tolerate_failure:
            evidence.require_answer(observation.student.failure, expected=expected or "an answer")
        return observation

    return observe
