"""The schema of a model's answer, its parser, and the limits that the report sets: text and levels, never points.

The answer is not trusted, because a submission may contain instructions to the model. The parser is strict. The
criteria must be the report's. A level above the checks' is lowered to it. Texts are shortened.
Unprintable characters are escaped. Markup stays plain text; the code that shows it escapes it.
"""

from __future__ import annotations

import json
from typing import Any, get_args

from pydantic import ValidationError

from pytest_attn_grader.reports.escaping import escape_unprintable
from pytest_attn_grader.results.assessment import (
    MAX_FEEDBACK_CHARS,
    MAX_POINT_CHARS,
    MAX_POINTS,
    AssessedCriterion,
)
from pytest_attn_grader.results.base import FrozenModel
from pytest_attn_grader.results.report import CATEGORIES, Category, Evaluation, Level

_LEVELS: tuple[Level, ...] = get_args(Level)
# Levels that can be compared. `not-assessed` is not among them: no check ran.
_ORDER: tuple[Level, ...] = ("not-met", "partly", "met")


# Bounds of the schema. They are tighter than those of the assessment, because a small model fills what it gets.
SCHEMA_FEEDBACK_CHARS, SCHEMA_SUMMARY_CHARS, SCHEMA_POINT_CHARS, SCHEMA_POINTS = 400, 800, 160, 4


class CriterionAnswer(FrozenModel):
    """The model's answer on one criterion."""

    level: Level
    feedback: str


class Answer(FrozenModel):
    """The model's answer, as it was sent: texts of any length."""

    criteria: dict[Category, CriterionAnswer]
    summary: str
    strengths: tuple[str, ...]
    next_steps: tuple[str, ...]


class MalformedAnswerError(Exception):
    """The answer cannot be used; the message says why, quotes nothing of it, and is sent with the next try."""


def answer_schema(evaluation: Evaluation, *, bounded: bool = True) -> dict[str, Any]:
    """The JSON Schema of the answer: one entry for each criterion, by category.

    Args:
        bounded: with bounds on lengths and counts, which some endpoints reject.
    """
    criterion = _object({"level": {"enum": list(_LEVELS)}, "feedback": _text(SCHEMA_FEEDBACK_CHARS, bounded)})
    points: dict[str, Any] = {"type": "array", "items": _text(SCHEMA_POINT_CHARS, bounded)}
    points |= {"maxItems": SCHEMA_POINTS} if bounded else {}
    return _object(
        {
            "criteria": _object({each.category: criterion for each in evaluation.criteria}),
            "summary": _text(SCHEMA_SUMMARY_CHARS, bounded),
            "strengths": points,
            "next_steps": points,
        }
    )


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    # Strict endpoints want every property required and no others.
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


def _text(max_chars: int, bounded: bool) -> dict[str, Any]:
    return {"type": "string"} | ({"minLength": 1, "maxLength": max_chars} if bounded else {})


def read_answer(text: str, evaluation: Evaluation) -> Answer:
    """Parse the model's text; anything around the JSON object (a code fence, reasoning) is ignored.

    Raises:
        MalformedAnswerError: there is no JSON object, or it does not fit the schema or the evaluation.
    """
    start, end = text.find("{"), text.rfind("}")
    if start < 0 or end < start:
        raise MalformedAnswerError("there is no JSON object in it")
    try:
        answer = Answer.model_validate(json.loads(text[start : end + 1]))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        # Field names that the model has invented are not repeated.
        place = ".".join(str(part) for part in first["loc"] if isinstance(part, int) or part in _FIELDS)
        raise MalformedAnswerError(
            f"it does not fit the schema, at {place or 'the top'}: {_why(first['type'])}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise MalformedAnswerError("it is not valid JSON") from error
    expected = [criterion.category for criterion in evaluation.criteria]
    if {*expected} != {*answer.criteria}:
        raise MalformedAnswerError(f"criteria must be an object with these keys: {', '.join(expected)}")
    if not answer.summary.strip() or not all(each.feedback.strip() for each in answer.criteria.values()):
        raise MalformedAnswerError("summary or a feedback is empty")
    return answer


_FIELDS = {*Answer.model_fields, *CriterionAnswer.model_fields, *CATEGORIES}


def _why(kind: str) -> str:
    return {"missing": "it is missing", "extra_forbidden": "there is a field that was not asked for"}.get(
        kind, "it has another type or value than the schema's"
    )


def bounded_criteria(answer: Answer, evaluation: Evaluation) -> tuple[AssessedCriterion, ...]:
    """The feedback for each criterion, in the report's order, with levels at most the checks'."""
    answered = answer.criteria
    return tuple(
        AssessedCriterion(
            category=criterion.category,
            level=(level := bounded_level(answered[criterion.category].level, criterion.level)),
            checks_level=criterion.level,
            claimed_level=None if level == (claimed := answered[criterion.category].level) else claimed,
            feedback=sanitize(answered[criterion.category].feedback, MAX_FEEDBACK_CHARS),
        )
        for criterion in evaluation.criteria
    )


def bounded_level(claimed: Level, earned: Level) -> Level:
    """The lower of the model's and the checks' level; `not-assessed` where either says so."""
    if "not-assessed" in (claimed, earned):
        return "not-assessed"
    return min(claimed, earned, key=_ORDER.index)


def bounded_list(points: tuple[str, ...]) -> tuple[str, ...]:
    """The first entries of a list, shortened; empty entries are dropped."""
    return tuple(sanitize(point, MAX_POINT_CHARS) for point in points if point.strip())[:MAX_POINTS]


def sanitize(text: str, max_characters: int) -> str:
    """Shorten text from the model, and escape what is not printable."""
    lines = text.strip().replace("\r\n", "\n")
    cut = "" if len(lines) <= max_characters else f"… ({len(lines)} characters)"
    return escape_unprintable(lines[:max_characters]) + cut
